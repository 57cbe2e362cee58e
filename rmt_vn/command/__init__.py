"""The command line: ``rmt-vn predict``, ``measure``, ``design``, ``api`` and ``cite``, or ``python -m rmt_vn``.

===========================================  =========================================================
`parser`                                     the commands, their options, and what ``--help`` says
`predicting`, `measuring`, `designing`,      what each command prints: `run` yields it, text by text
`describing`, `citing`
`fresh_files`                                the fresh networks of ``measure --null``
`tables`                                     tables for people, JSON for programs
===========================================  =========================================================

A command's module, with the numerical libraries that it needs, is imported only when the command runs.
"""

from __future__ import annotations

import importlib

from rmt_vn.command.parser import new_parser
from rmt_vn.interrupts import interrupts_are_raised
from rmt_vn.program import OneLineParser, run_program, say

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0; 1 if standard output could not be written; 2 for what it was given; 130 if interrupted.
    """
    return run_program(lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    options = new_parser().parse_args(arguments)
    parser: OneLineParser = options.parser
    written = True
    try:
        command = importlib.import_module(f"rmt_vn.command.{options.module}")
        with interrupts_are_raised():
            for text in command.run(options):
                written = say(text) and written
        return 0 if written else 1
    except (ValueError, TypeError, ImportError) as error:
        fault = str(error)
    except MemoryError as error:
        fault = f"it takes more memory than there is: {error}"
    except OSError as error:
        fault = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    # Only here the functions that failed are gone, and any progress bar of theirs with them.
    parser.error(fault)
