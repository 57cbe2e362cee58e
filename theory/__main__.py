"""The command line: ``python -m theory [NAME …] [--markdown FILE]``."""

# ruff: noqa: E402
from __future__ import annotations

import os
import signal


def _leave(*_: object) -> None:
    """End at once, with one line."""
    os.write(2, b"interrupted\n")
    os._exit(130)


if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)  # while the rest is imported, where nothing is to be cleaned up

import argparse
import inspect
import io
import re
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from types import ModuleType
from typing import NoReturn

try:
    import mpmath
    import sympy as sp
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    sys.exit(f"python -m theory: error: {error.name} is missing; the extra 'theory' has it: pip install '.[theory]'")

import theory
from theory.derivation import CHECKED, Claim, Derivation


class _Parser(argparse.ArgumentParser):
    """Errors in one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m theory",
        description="Run the derivations: for each, the claims, whether proved (the difference simplifies to zero) or "
        "checked numerically (to 30 digits), and the residual. With names, show those with their steps.",
        epilog="examples:\n"
        "  python -m theory                              all of them, a minute or so\n"
        "  python -m theory wick                         one, with its steps\n"
        "  python -m theory --markdown theory/README.md  the document",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"derivations to show: {', '.join(theory.NAMES)}")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the whole as a document with formulas")
    return parser


def report(claim: Claim) -> str:
    """One line: how the claim fared, its statement, its residual."""
    residual = claim.residual
    shown = mpmath.nstr(residual, 2) if claim.kind == CHECKED else str(residual)
    return f"  {claim.kind if claim.holds else 'FAILED':18}  {claim.statement}  [residual {shown}]"


def proves(module: ModuleType) -> str:
    """In a sentence, which laws of the package a derivation proves."""
    laws = ", ".join(f"`{law}`" for law in module.LAWS)
    return f"It proves {laws}." if laws else "It is used by other derivations."


def document(derivations: dict[str, Derivation]) -> str:
    """All derivations as Markdown with LaTeX formulas."""
    parts = [
        "# The proofs",
        "Every statement of the package, derived. This document is written by `python -m theory --markdown "
        f"theory/README.md` (sympy {sp.__version__}); each claim below was run: *proved* means that the difference of "
        f"the two sides simplifies to zero, *{CHECKED}* that two numbers agree to 30 digits, which is not a proof.",
        "\n".join(f"{i}. [{d.title}](#{i}-{_anchor(d.title)})" for i, d in enumerate(derivations.values(), start=1)),
    ]
    for i, (name, derivation) in enumerate(derivations.items(), start=1):
        module = theory.load(name)
        notes = (inspect.getdoc(module) or "").replace("q*", r"q\*")
        parts += [f"## {i}. {derivation.title}", f"`python -m theory {name}`. {proves(module)}", notes]
        for step in derivation.steps:
            parts.append(_inline(step.text))
            if step.formula is not None:
                parts.append(f"```math\n{sp.latex(step.formula)}\n```")
        parts.append("**Claims**")
        parts.append("\n".join(f"- *{claim.kind}*: {_inline(claim.statement)}" for claim in derivation.claims))
    return "\n\n".join(parts) + "\n"


def _inline(text: str) -> str:
    """$…$ as $`…`$, which keeps Markdown from taking the backslashes of a formula for its own."""
    return re.sub(r"\$([^$]+)\$", r"$`\1`$", text)


def _anchor(title: str) -> str:
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _show(name: str, module: ModuleType, derivation: Derivation, *, steps: bool) -> None:
    if steps:
        print(f"\n{derivation.title}. {proves(module)}\n\n{inspect.getdoc(module)}\n")
        for number, step in enumerate(derivation.steps, start=1):
            print(textwrap.fill(f"{number}. {step.text}", 110, break_long_words=False, break_on_hyphens=False))
            if step.formula is not None:
                print("\n" + "\n".join("    " + line for line in sp.pretty(step.formula).splitlines()) + "\n")
    for claim in derivation.claims:
        print(report(claim), flush=True)


def _write_whole(file: Path, text: str) -> None:
    """Write the file whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".tmp", delete=False, encoding="utf-8") as part:
        try:
            part.write(text)
            part.close()
            os.replace(part.name, file)
        except BaseException:
            os.unlink(part.name)
            raise


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code is 0, 1 if a claim failed, 2 for bad arguments, 130 if interrupted."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        modules = {name: theory.load(name) for name in options.names or theory.NAMES}
    except ValueError as error:
        parser.error(str(error))
    if options.markdown and options.names:
        parser.error("--markdown writes all derivations and takes no NAME")
    if options.markdown and not options.markdown.resolve().parent.is_dir():
        parser.error(f"--markdown must be in a folder that exists, got {str(options.markdown)!r}")
    if options.markdown and options.markdown.exists() and not options.markdown.is_file():
        parser.error(f"--markdown must be a file, got {str(options.markdown)!r}")
    derivations, failed = {}, []
    try:
        for name, module in modules.items():
            started = time.perf_counter()
            print(f"{name}: ", end="", flush=True)
            try:
                derivations[name] = module.derive()
            except Exception as error:  # the others are still run; the step is named below
                print("FAILED")
                failed.append(f"{name} ({type(error).__name__}: {error})")
                continue
            print(derivations[name].title)
            _show(name, module, derivations[name], steps=bool(options.names))
            failed += [f"{name} ({claim.statement})" for claim in derivations[name].claims if not claim.holds]
            print(f"  {time.perf_counter() - started:.1f} s", flush=True)
    except KeyboardInterrupt:
        print(flush=True)
        print("interrupted", file=sys.stderr)
        return 130
    for failure in failed:
        print(f"FAILED: {failure}", file=sys.stderr)
    if options.markdown and not failed:
        try:
            _write_whole(options.markdown, document(derivations))
        except OSError as error:
            parser.error(
                f"--markdown must be a file that can be written, got {str(options.markdown)!r} ({error.strerror})"
            )
        print(f"wrote {options.markdown}")
    return 1 if failed else 0


def guarded_main(arguments: list[str] | None = None) -> int:
    """`main`, with an end in order where standard output is closed, full, or read by someone who has seen enough."""
    # A terminal that knows no Greek shows question marks rather than a traceback.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    heard = signal.getsignal(signal.SIGINT)
    if heard is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        try:
            code = main(arguments)
        except SystemExit as stop:  # by --help, or for bad arguments
            code = stop.code if isinstance(stop.code, int) else 0
        if sys.stdout is not None:  # None if the command was started without one
            sys.stdout.flush()
    except BrokenPipeError:
        _forget_standard_output()
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        _forget_standard_output()
        print(f"python -m theory: error: standard output: {error.strerror}", file=sys.stderr)
        return 2
    finally:
        if heard is _leave:
            signal.signal(signal.SIGINT, heard)
    return code


def _forget_standard_output() -> None:
    """Python must not try again, at its end, to write what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(guarded_main())
