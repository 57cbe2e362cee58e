"""``python -m rmt_vn``: the same as the command ``rmt-vn``."""

import sys

from rmt_vn.command import main

if __name__ == "__main__":
    sys.exit(main())
