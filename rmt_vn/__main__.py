"""``python -m rmt_vn``: the same as the command ``rmt-vn``."""

import sys

from rmt_vn.interrupts import leave_when_interrupted

__all__ = ["main"]


def main() -> int:
    """The program `rmt-vn`; returns the exit code."""
    leave_when_interrupted()
    from rmt_vn import command

    return command.main()


if __name__ == "__main__":
    sys.exit(main())
