"""Programs whose output is closed, full or read in part, or that are interrupted: one line, and an exit code."""

import ast
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import rmt_vn.progress
from rmt_vn import command
from rmt_vn.program import printable, say, tell
from rmt_vn.progress import progress

ROOT = Path(__file__).parents[1]
FULL = Path("/dev/full")
PROGRAMS = ["rmt_vn cite", "rmt_vn --help", "rmt_vn --version", "rmt_vn.figures --help"]


def started(line, redirection, **options):
    """The program, started by a shell with its output redirected."""
    shell = ["sh", "-c", f'exec "$0" -m "$@" {redirection}', sys.executable, *line.split()]
    return subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, **options)


def unread(program):
    """The program, with an output whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stdout:
        return subprocess.run(program, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("line", PROGRAMS)
def test_who_closes_the_output_hears_nothing(line):
    for redirection in (">&-", ">&- 2>&-"):
        run = started(line, redirection)
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


full = pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")


@pytest.mark.parametrize("line", ["rmt_vn --help", "rmt_vn cite", "rmt_vn predict --widths 5,4", "rmt_vn api"])
def test_without_docstrings(line):
    run = subprocess.run([sys.executable, "-OO", "-m", *line.split()], cwd=ROOT, capture_output=True, text=True)
    if line == "rmt_vn api":
        assert run.returncode == 2 and run.stdout == "" and run.stderr.count("\n") == 1 and "-OO" in run.stderr
    else:
        assert run.returncode == 0 and run.stdout and run.stderr == ""


@pytest.mark.slow
def test_figures_without_docstrings_are_the_same(tmp_path):
    for name, options in {"plain": [], "optimized": ["-OO"]}.items():
        arguments = ["phase_diagram", "--no-cache", "--jobs", "2", "--out", str(tmp_path / name)]
        command = [sys.executable, *options, "-m", "rmt_vn.figures", *arguments]
        assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stderr == ""
    tables = sorted((tmp_path / "plain").glob("*.npz"))
    assert tables and all(each.read_bytes() == (tmp_path / "optimized" / each.name).read_bytes() for each in tables)


@full
@pytest.mark.parametrize("line", PROGRAMS)
def test_a_full_output_is_told_in_one_line(line):
    for unbuffered in ("", "1"):
        run = started(line, f">{FULL}", env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
        assert run.returncode == 1
        assert run.stderr == "standard output cannot be written: No space left on device\n"


@pytest.mark.slow
def test_figures_may_be_listed_to_who_stops_reading():
    run = unread([sys.executable, "-m", "rmt_vn.figures", "--list", "node_correlation"])
    assert (run.returncode, run.stderr) == (0, "")


# Two figures that take no time, one of which fails after a warning, and their claims are false.
FIGURES = """
import sys, warnings
from rmt_vn.figures import __main__ as program, output
from rmt_vn.figures.evidence import Evidence

def make(name, *, out, **_):
    (out / name).touch()
    warnings.warn(name + " is \\x1b[31m red")
    if name == "wide_inputs":
        raise ValueError("\\x1b[31m")
    return [name], [Evidence("what", 1.0, 2.0)]

output.make = make
names = ["node_correlation", "wide_inputs", "scaling_collapse"]
sys.exit(program.main([*names, "--no-cache", "--out", sys.argv[1]]))
"""


def test_figures_are_made_though_nobody_reads(tmp_path):
    run = unread([sys.executable, "-c", FIGURES, str(tmp_path)])
    assert len(list(tmp_path.iterdir())) == 3
    assert run.returncode == 1 and "\x1b" not in run.stderr and "\\x1b[31m red" in run.stderr
    # Three warnings, a failure, two claims that are false, and how many failed.
    assert len(run.stderr.splitlines()) == 7 and "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "redirection",
    [
        ">&-",
        ">&- 2>&-",
        "<&- >&- 2>&-",
        *(pytest.param(f, marks=full) for f in (f">{FULL}", f"2>{FULL}", f">{FULL} 2>&1")),
    ],
)
def test_figures_are_made_whatever_becomes_of_the_output(tmp_path, redirection):
    shell = ["sh", "-c", f'exec "$0" "$@" {redirection}', sys.executable, "-c", FIGURES, str(tmp_path)]
    run = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node_correlation", "scaling_collapse", "wide_inputs"]
    assert run.returncode == 1
    assert ("standard output cannot be written: No space" in run.stderr) == (redirection == f">{FULL}")
    assert "Traceback" not in run.stderr and "\x1b" not in run.stderr


def test_an_interrupt_is_one_line():
    # It comes while variances are followed through two thousand layers. A shell's background programs ignore it.
    code = (
        "import os, signal, sys, threading\n"
        "import rmt_vn.command.predicting\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "sys.exit(rmt_vn.command.main(['predict', '--widths', '100x2000']))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "interrupted\n")


# Interrupts this process and those it starts while it imports a library, as Ctrl-C may.
INTERRUPTING = """
import os, signal
os.killpg(os.getpgrp(), signal.SIGINT)
raise ImportError("an interrupt in the middle of an import may become another error")
"""


@pytest.fixture
def interrupts_are_heard():
    """A shell lets what it starts in the background ignore SIGINT, and children inherit that: not the children here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("line", "library"),
    [
        ("rmt_vn predict --widths 5,4", "argparse"),
        ("rmt_vn predict --widths 5,4", "numpy"),
        ("rmt_vn design --depth 5 --vni 0.1", "scipy"),
        ("rmt_vn.figures --list", "platformdirs"),
        ("rmt_vn.figures phase_diagram --no-cache", "matplotlib"),
        ("rmt_vn.figures phase_diagram --no-cache", "joblib"),
        ("theory wick", "mpmath"),
        ("theory wick", "sympy"),
    ],
)
def test_an_interrupt_while_modules_are_imported_is_one_line(tmp_path, interrupts_are_heard, line, library):
    (tmp_path / f"{library}.py").write_text(INTERRUPTING)
    program = [sys.executable, "-m", *line.split()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    run = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, start_new_session=True)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize("name", ["predicting", "measuring", "designing", "describing", "citing"])
def test_every_command_can_be_interrupted(monkeypatch, capsys, name):
    def interrupt(options):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(f"rmt_vn.command.{name}.run", interrupt)
    lines = {
        "predicting": "predict --widths 5,4",
        "measuring": "measure h.npy",
        "designing": "design --depth 5 --vni 0.1",
        "describing": "api",
        "citing": "cite",
    }
    assert command.main(lines[name].split()) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_what_a_terminal_would_obey_is_escaped():
    assert printable("a\x1b[2J\nb\u202e\udcff Größe ρ²") == r"a\x1b[2J b\u202e\udcff Größe ρ²"


def test_all_that_is_printed_is_escaped(capsys):
    assert say("a\x1b[2J\n b\u202e") and tell("a\x1b[2J\n b\u202e") is None
    assert capsys.readouterr() == ("a\\x1b[2J\n b\\u202e\n", "a\\x1b[2J b\\u202e\n")


def test_all_is_printed_in_one_place():
    for path in (ROOT / "rmt_vn").rglob("*.py"):
        if path.name == "program.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert not re.fullmatch(r"print|sys\.(stdout|stderr)\.\w+|logging\.(\w*warn\w*|error)", called), path


# --- progress ---------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def slowly():
    for item in range(30):
        time.sleep(0.02)
        yield item


def told(monkeypatch, stream, patience=0.1):
    """What standard error is told of thirty items that take 0.6 seconds."""
    # Not in a fixture: pytest puts a stream of its own in place before the test begins.
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(rmt_vn.progress, "_PATIENCE", patience)
    assert list(progress(slowly(), "things", 30)) == list(range(30))
    return stream.getvalue()


def test_a_terminal_sees_progress_and_is_left_clean(monkeypatch):
    shown = told(monkeypatch, Terminal())
    assert "things:" in shown and "/30" in shown
    *_, cleared, rest = shown.split("\r")
    assert not cleared.strip() and rest == ""


@pytest.mark.slow
def test_what_is_quick_and_what_goes_to_a_pipe_shows_no_progress(monkeypatch):
    assert told(monkeypatch, Terminal(), patience=2) == ""
    assert told(monkeypatch, io.StringIO()) == ""


def test_a_worker_shows_no_progress(monkeypatch):
    terminal = Terminal()
    worker = threading.Thread(target=told, args=(monkeypatch, terminal))
    worker.start()
    worker.join()
    assert terminal.getvalue() == ""
