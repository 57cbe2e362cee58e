"""Staging folders: what a killed process leaves is swept by the next one, what a living one holds is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rmt_vn.experiments import Engine, run
from rmt_vn.whole_files import move_into, staging_folder

pytest.importorskip("fcntl")

ROOT = Path(__file__).parents[1]
# Makes a staging folder with a file and a folder in it, says so, and waits.
HOLDER = """
import sys
from pathlib import Path
from rmt_vn.whole_files import staging_folder

with staging_folder(Path(sys.argv[1])) as folder:
    (folder / "half a file").write_text("half")
    (folder / "deep").mkdir()
    (folder / "deep" / "file").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""
# Makes many, one after the other, each with a file that must be there until it is moved.
MAKER = """
import sys
from pathlib import Path
from rmt_vn.whole_files import move_into, staging_folder

out = Path(sys.argv[1])
for number in range(200):
    with staging_folder(out) as folder:
        file = folder / f"{sys.argv[2]}-{number}"
        file.write_text("whole")
        move_into(out, [file])
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds a staging folder in `tmp_path`, and the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_what_a_killed_process_leaves_is_swept_and_what_a_living_one_holds_is_not(tmp_path, holder):
    process, folder = holder
    with staging_folder(tmp_path) as own, staging_folder(tmp_path) as another:
        assert own.is_dir() and another.is_dir() and own != another
    assert list(tmp_path.iterdir()) == [folder] and (folder / "half a file").read_text() == "half"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert folder.is_dir()
    with staging_folder(tmp_path) as own:
        assert list(tmp_path.iterdir()) == [own]
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_that_was_killed_half_way_is_gone_on_with(tmp_path):
    for number, inside in enumerate([["in-use"], ["in-use", "file"], []]):
        folder = tmp_path / f".rmt_vn-abcdefg{number}"
        folder.mkdir()
        for name in inside:
            (folder / name).touch()
    with staging_folder(tmp_path) as own:
        assert list(tmp_path.iterdir()) == [own]


def test_what_is_no_staging_folder_is_left(tmp_path):
    elsewhere = tmp_path.with_name("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "in-use").touch()
    (tmp_path / ".rmt_vn-notebook").mkdir()  # it has the form of the name
    (tmp_path / ".rmt_vn-notebook" / "mine").touch()
    (tmp_path / ".rmt_vn-my-own-notes").mkdir()
    (tmp_path / ".rmt_vn-a_letter").touch()
    (tmp_path / ".rmt_vn-shortcut").symlink_to(elsewhere)
    (tmp_path / ".rmt_vn-locklink").mkdir()
    (tmp_path / ".rmt_vn-locklink" / "in-use").symlink_to(elsewhere / "in-use")
    before = sorted(tmp_path.rglob("*"))
    with staging_folder(tmp_path):
        pass
    assert sorted(tmp_path.rglob("*")) == before and (elsewhere / "in-use").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="takes root to be two users")
def test_what_another_user_has_left_is_left(tmp_path):
    folder = tmp_path / ".rmt_vn-12345678"
    folder.mkdir()
    (folder / "in-use").touch()
    os.chown(folder, 61001, 61001)
    with staging_folder(tmp_path):
        pass
    assert (folder / "in-use").exists()


def test_processes_at_the_same_time_sweep_nothing_of_each_other(tmp_path):
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKER, str(tmp_path), name], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for name in "abc"
    ]
    assert [(maker.communicate()[1], maker.returncode) for maker in makers] == 3 * [("", 0)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{a}-{n}" for a in "abc" for n in range(200))


def test_a_run_without_a_cache_sweeps_what_such_runs_have_left(tmp_path, monkeypatch, holder):
    process, folder = holder
    process.kill()
    process.wait()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert folder.is_dir()
    assert len(list(run(dict, [{"x": 1}], engine=Engine(jobs=1)))) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OSError), staging_folder(tmp_path / "none"):
        pass
    with staging_folder(tmp_path) as folder, pytest.raises(FileNotFoundError):
        move_into(tmp_path, [folder / "none"])
