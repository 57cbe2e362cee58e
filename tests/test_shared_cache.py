"""Entries of the cache that are no results, and folders that several people use: real users, where root may be them."""

import contextlib
import os
import stat
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from rmt_vn.experiments import Engine, run
from rmt_vn.experiments.cache import is_kept, keep, recall, usable_folder

KEY = "ab" + 62 * "0"
RESULT = {"mean": np.arange(3.0), "count": np.array(7)}
posix = pytest.mark.skipif(os.name != "posix", reason="modes and pipes of POSIX")
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="takes root to be two users")

ALICE, BOB, TEAM = 61001, 61002, 61010


def entry(folder):
    return folder / KEY[:2] / f"{KEY}.npz"


def spoil_pipe(path):
    path.unlink()
    os.mkfifo(path)


def spoil_folder(path):
    path.unlink()
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "file").touch()


def spoil_device(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def spoil_missing_field(path):
    with np.load(path) as file:
        fields = {name: file[name] for name in file.files if name != "result.count"}
    np.savez(path, **fields)


def spoil_missing_names(path):
    np.savez(path, key=np.array(path.stem), **{"result.mean": np.ones(3)})


@posix
@pytest.mark.parametrize("spoil", [spoil_pipe, spoil_folder, spoil_device, spoil_missing_field, spoil_missing_names])
def test_what_is_no_result_is_computed_again_with_one_line(tmp_path, spoil):
    (first,) = run(_result, [{"size": 3}], engine=Engine(jobs=1, cache=tmp_path))
    (path,) = tmp_path.rglob("*.npz")
    good = path.read_bytes()
    spoil(path)
    with pytest.warns(UserWarning, match="damaged and is computed again") as told:
        (again,) = run(_result, [{"size": 3}], engine=Engine(jobs=1, cache=tmp_path))
    assert len(told) == 1 and "\n" not in str(told[0].message)
    assert again.keys() == first.keys() and all(np.array_equal(again[name], first[name]) for name in first)
    assert path.is_file() and not path.is_symlink() and len(path.read_bytes()) == len(good)
    assert [each.name for each in tmp_path.iterdir()] == [path.parent.name]


def _result(size):
    return {"mean": np.arange(float(size)), "count": np.array(size)}


def test_names_of_results_may_be_those_of_the_cache(tmp_path):
    for result in ({}, {"key": np.ones(1), "names": np.zeros(2), "file": np.ones(2)}):
        keep(tmp_path, KEY, result)
        found = recall(tmp_path, KEY)
        assert list(found) == list(result) and all(np.array_equal(found[name], result[name]) for name in result)


# --- two users --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def user(uid, umask=0o022):
    """Within the block this process is one of that user, who is of the team, with no right of root's."""
    groups, mask = os.getgroups(), os.umask(umask)
    os.setgroups([TEAM])
    os.setresgid(uid, uid, 0)
    os.setresuid(uid, uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)
        os.umask(mask)


@pytest.fixture
def shared(monkeypatch):
    """A folder that both may reach, which those of pytest are not; each has a home beside it."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        monkeypatch.setattr("rmt_vn.experiments.cache.OWN_FOLDER", Path(place) / "home")
        for folder, uid in (("home", BOB), ("shared", ALICE)):
            (Path(place) / folder).mkdir()
            os.chown(Path(place) / folder, uid, uid)
        yield Path(place) / "shared"


def given_to(folder, mode, group=TEAM):
    os.chown(folder, ALICE, group)
    folder.chmod(mode)


@as_root
@pytest.mark.parametrize(
    ("mode", "umask", "file", "inside"),
    [
        (0o2770, 0o022, 0o644, 0o2775),
        (0o2770, 0o077, 0o640, 0o2770),
        (0o770, 0o027, 0o640, 0o770),
        (0o755, 0o022, 0o644, 0o755),
        (0o755, 0o077, 0o600, 0o700),
        (0o700, 0o022, 0o644, 0o755),
    ],
)
def test_entries_are_shared_as_their_folder_is(shared, mode, umask, file, inside):
    given_to(shared, mode)
    with user(ALICE, umask):
        keep(usable_folder(shared), KEY, RESULT)
    assert stat.S_IMODE(entry(shared).stat().st_mode) == file
    assert stat.S_IMODE(entry(shared).parent.stat().st_mode) == inside
    if mode & 0o020:
        assert entry(shared).stat().st_gid == entry(shared).parent.stat().st_gid == TEAM


@as_root
def test_who_shares_a_folder_reads_and_replaces_what_the_other_has_kept(shared):
    given_to(shared, 0o2770)
    with user(ALICE, 0o077):
        keep(usable_folder(shared), KEY, RESULT)
    with user(BOB):
        assert usable_folder(shared) == shared and is_kept(shared, KEY)
        assert recall(shared, KEY)["count"] == 7
        keep(shared, KEY[:2] + 62 * "1", RESULT)
        keep(shared, KEY, {"mean": np.ones(2)})
    with user(ALICE):
        assert recall(shared, KEY)["mean"].tolist() == [1, 1]
    assert [each.name for each in shared.iterdir()] == [KEY[:2]]


@as_root
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750, 0o2750])
@pytest.mark.parametrize("inside", ["", "not/yet"])
def test_a_folder_of_somebody_else_is_named_and_ones_own_is_used(shared, mode, inside):
    given_to(shared, mode)
    own = shared.parent / "home"
    whose = f"{shared} belongs to user {ALICE}, and its mode {mode:o} lets you write nothing there"
    with user(BOB), pytest.warns(UserWarning, match=f"{whose}: results are kept in {own}") as told:
        assert usable_folder(shared / inside) == own
        keep(own, KEY, RESULT)
    assert len(told) == 1 and entry(own).is_file() and list(shared.iterdir()) == []


@as_root
def test_results_that_may_not_be_read_are_computed_again_and_said_to_be_whose(shared):
    given_to(shared, 0o2770)
    with user(ALICE):
        keep(shared, KEY, RESULT)
    entry(shared).chmod(0o600)
    told = f"results that user {ALICE} has kept in {shared} may not be read by you, and are computed again"
    with user(BOB):
        with pytest.warns(UserWarning, match=told):
            assert not is_kept(shared, KEY)
        keep(shared, KEY, RESULT)
        assert is_kept(shared, KEY) and recall(shared, KEY)["count"] == 7
    # Where it cannot be replaced either, the error says whose it is.
    given_to(entry(shared).parent, 0o700)
    told = f"results cannot be kept in this folder, where {KEY[:2]} belongs to user {ALICE}"
    with user(BOB), pytest.raises(OSError, match=told):
        keep(shared, KEY, RESULT)
    assert [each.name for each in shared.iterdir()] == [KEY[:2]]


@posix
def test_a_folder_that_everybody_can_write_to_is_named(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tmp_path.chmod(0o770)
        assert usable_folder(tmp_path) == tmp_path
    for mode in (0o777, 0o1777):
        tmp_path.chmod(mode)
        with pytest.warns(UserWarning, match=rf"{tmp_path}, which belongs to .*, .* everybody .*\(mode {mode:o}\)"):
            assert usable_folder(tmp_path) == tmp_path


@posix
def test_ones_own_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"it is no folder: .*file'"):
        usable_folder(tmp_path / "file")
    assert not is_kept(tmp_path / "file", KEY)
