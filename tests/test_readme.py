"""What the README shows runs, and says what it says."""

import re
from pathlib import Path

from rmt_vn import laws

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def test_the_example_predicts_and_samples_agree(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(example, names)
    network, sampled = names["network"], names["sampled"]
    # S4 is off by at most 3.3/N of R at the narrowest fan-in, 200; k = 4 standard errors on top.
    assert abs(sampled.value - laws.approximate_vni(network)) < 4 * sampled.stderr + 3.3 / 200 * sampled.value
    assert f"{sampled.value:.4f}" in capsys.readouterr().out


def test_every_law_is_in_the_table():
    missing = [name for name in laws.__all__ if f"laws.{name}" not in README]
    assert missing == ["exact_vni_complement", "layer_depth", "universal_vni_complement"]  # variants of those listed
