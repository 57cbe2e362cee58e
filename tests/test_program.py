"""Programs whose output is closed, full or read in part, or that are interrupted: one line, and an exit code."""

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import rmt_vn.progress
from rmt_vn import command
from rmt_vn.program import printable
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


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("line", PROGRAMS)
def test_a_full_output_is_told_in_one_line(line):
    for unbuffered in ("", "1"):
        run = started(line, f">{FULL}", env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
        assert run.returncode == 1
        assert run.stderr == "standard output cannot be written: No space left on device\n"


def test_figures_may_be_listed_to_who_stops_reading():
    run = unread([sys.executable, "-m", "rmt_vn.figures", "--list", "node_correlation"])
    assert (run.returncode, run.stderr) == (0, "")


def test_figures_are_made_though_nobody_reads(tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rmt_vn.figures import __main__ as program, output\n"
        "def make(name, *, out, **_):\n"
        "    (out / name).touch()\n"
        "    return [name], []\n"
        "output.make = make\n"
        "names = ['node_correlation', 'scaling_collapse']\n"
        f"sys.exit(program.main([*names, '--no-cache', '--out', {str(tmp_path)!r}]))"
    )
    run = unread([sys.executable, "-c", code])
    assert len(list(tmp_path.iterdir())) == 2
    assert (run.returncode, run.stderr) == (0, "")


def test_an_interrupt_is_one_line():
    # It comes while variances are followed through a hundred thousand layers. A shell's background programs ignore it.
    code = (
        "import os, signal, sys, threading\n"
        "import rmt_vn.command.predicting\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "sys.exit(rmt_vn.command.main(['predict', '--widths', '100x100000']))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
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


def test_what_is_quick_and_what_goes_to_a_pipe_shows_no_progress(monkeypatch):
    assert told(monkeypatch, Terminal(), patience=2) == ""
    assert told(monkeypatch, io.StringIO()) == ""


def test_a_worker_shows_no_progress(monkeypatch):
    terminal = Terminal()
    worker = threading.Thread(target=told, args=(monkeypatch, terminal))
    worker.start()
    worker.join()
    assert terminal.getvalue() == ""
