"""What errors for bad input look like: one line that is not too long."""

import pytest

from rmt_vn.measures import plug_in_vni


def refused(values, told, kind=(TypeError, ValueError), by=plug_in_vni, **options):
    """Asserts that values are an error of one line that says so."""
    with pytest.raises(kind, match=told) as raised:
        by(values, **options)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400
