"""Sweeps that are killed, interrupted, starved and shared: each fault is caused for real, on processes of their own.

One fault of each kind is caused in the quick tests, the others in the slow ones.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
STUDY = Path(__file__).with_name("study.py")
CHUNKS = 90
# How often the study is killed; RMT_VN_KILLS=35 is the long run.
KILLS = int(os.environ.get("RMT_VN_KILLS", "10"))


STARTED = []


@pytest.fixture(autouse=True)
def interrupts_are_heard():
    """A shell lets what it starts in the background ignore SIGINT, and children inherit that: not the children here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_process_is_left():
    """Where a test fails, on a busy machine because a process takes too long, that process is ended and waited for."""
    yield
    while STARTED:
        process = STARTED.pop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def started(arguments, *, said, env=()):
    """A process in a session of its own, which writes standard error to a file: a pipe stays open for its children."""
    with said.open("a") as stderr:
        process = subprocess.Popen(
            arguments, cwd=ROOT, env={**os.environ, **dict(env)}, stderr=stderr, start_new_session=True
        )
    process.said = said
    STARTED.append(process)
    return process


def end_of(process, seconds=60):
    """Exit code and what was said on standard error."""
    return process.wait(seconds), process.said.read_text()


class Study:
    """The sweep of study.py in a process of its own, and what it has written down."""

    def __init__(self, folder, cache="cache"):
        self.folder, self.log, self.out = folder, folder / "log", folder / "out"
        self.cache = folder / cache
        self.log.touch()

    def start(self, *, jobs=2, out=None, start=()):
        arguments = [*start, sys.executable, str(STUDY), str(self.cache), str(jobs), str(out or self.out)]
        # A script finds what lies beside it, not the package in the folder above.
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return started(arguments, said=self.folder / "said", env={"STUDY_LOG": str(self.log), "PYTHONPATH": path})

    def began(self):
        """(process, name of the chunk) for each chunk that was begun."""
        return [(int(pid), float(name)) for pid, name in map(str.split, self.log.read_text().splitlines())]

    def kept(self):
        """Names of the chunks whose result is kept."""
        names = set()
        for entry in self.cache.glob("[0-9a-f]*/*.npz"):  # not what was being written
            with np.load(entry) as file:
                names.add(float(file["result.mean"][0]))
        return names


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The study's numbers, by one process that nobody disturbs."""
    study = Study(tmp_path_factory.mktemp("undisturbed"))
    assert end_of(study.start(jobs=1))[0] == 0
    assert len(study.began()) == CHUNKS
    return study.out.read_bytes()


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


def alive_in(session):
    """Processes of a session, zombies apart."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of_session = status.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(of_session) == session and state != "Z":
            found.append(int(status.parent.name))
    return found


@pytest.mark.slow
def test_killed_at_random_moments_it_goes_on_where_it_stopped(tmp_path, undisturbed):
    study, rng = Study(tmp_path), np.random.default_rng(0)
    for kills_left in range(KILLS, -1, -1):
        kept, begun = study.kept(), len(study.began())
        process = study.start()
        if kills_left:
            enough = begun + int(rng.integers(1, 1 + max(2, 70 // KILLS)))
            wait_until(lambda: len(study.began()) >= enough)  # noqa: B023
            time.sleep(rng.uniform(0, 0.06))
            process.kill()
        code, _ = end_of(process)
        assert code == (-signal.SIGKILL if kills_left else 0)
        assert study.out.exists() == (code == 0)
        again = {name for _, name in study.began()[begun:]} & kept
        assert not again, "finished before, computed again"
    assert study.out.read_bytes() == undisturbed
    assert study.kept() == {name for _, name in study.began()} and len(study.kept()) == CHUNKS
    # When they are killed, two processes have a few chunks in hand.
    assert len(study.began()) <= CHUNKS + KILLS * 4
    # What they were writing is swept by those that came after.
    assert not [path for path in study.cache.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(tmp_path, undisturbed):
    study = Study(tmp_path)
    process = study.start()
    wait_until(lambda: len(study.began()) > 20)
    worker = study.began()[-1][0]
    assert worker != process.pid
    os.kill(worker, signal.SIGKILL)
    code, said = end_of(process)
    assert code == 0, said
    assert "a worker process was killed; going on" in said
    assert study.out.read_bytes() == undisturbed


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_finished_and_leaves_no_process(tmp_path, undisturbed):
    study = Study(tmp_path)
    process = study.start()
    wait_until(lambda: len(study.began()) > 20)
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C in a terminal does: to the workers too
    assert end_of(process)[0] != 0
    wait_until(lambda: not alive_in(process.pid), seconds=5)
    kept = study.kept()
    assert len(kept) >= 15
    begun = len(study.began())
    assert end_of(study.start())[0] == 0
    assert not {name for _, name in study.began()[begun:]} & kept
    assert study.out.read_bytes() == undisturbed


@pytest.mark.slow
def test_workers_do_not_outlive_the_sweep(tmp_path):
    process = Study(tmp_path).start()
    assert end_of(process)[0] == 0
    wait_until(lambda: not alive_in(process.pid), seconds=2)


@pytest.mark.slow
def test_orphans_of_a_killed_sweep_end_by_themselves(tmp_path):
    study = Study(tmp_path)
    process = study.start()
    wait_until(lambda: len(study.began()) > 5)
    process.kill()
    end_of(process)
    wait_until(lambda: not alive_in(process.pid), seconds=10)


@pytest.mark.slow
def test_two_runs_at_once_on_one_cache(tmp_path, undisturbed):
    study = Study(tmp_path)
    both = [study.start(jobs=1, out=tmp_path / name) for name in ("one", "two")]
    assert [end_of(process) for process in both] == [(0, ""), (0, "")]
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == undisturbed
    # They share the work: a chunk is computed twice only if both have it in hand at the same time.
    assert len(study.began()) < 1.5 * CHUNKS


# --- on a cluster -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_cluster_of_two_gives_the_same_bytes(tmp_path, undisturbed):
    study = Study(tmp_path)
    code, said = end_of(study.start(jobs="dask"))
    assert code == 0, said
    assert len({pid for pid, _ in study.began()}) == 2
    assert len(study.began()) == CHUNKS
    assert study.out.read_bytes() == undisturbed


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_same_bytes(tmp_path, undisturbed):
    study = Study(tmp_path)
    process = study.start(jobs="dask")
    wait_until(lambda: len(study.began()) > 20)
    lost = study.began()[-1][0]
    os.kill(lost, signal.SIGKILL)
    code, said = end_of(process)
    assert code == 0, said
    assert study.out.read_bytes() == undisturbed
    # Others took over (a third worker, if it came in time), and computed again only what the lost one had in hand, with
    # results that had not been fetched yet: more of these on a busy machine.
    assert len({pid for pid, _ in study.began()}) in (2, 3)
    assert CHUNKS <= len(study.began()) < 1.5 * CHUNKS


CLUSTER = """
import sys
from pathlib import Path
from dask.distributed import LocalCluster

with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
    Path(sys.argv[1]).write_text(cluster.scheduler_address)
    sys.stdin.read()
"""


@pytest.fixture
def scheduler(tmp_path):
    """The address of a Dask cluster of two processes, as a user would start it: not in this process, where what it
    leaves open when it is stopped on a busy machine would be held against the tests."""
    address = tmp_path / "address"
    cluster = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(address)], cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
    )
    with cluster:
        wait_until(lambda: address.exists() and address.read_text())
        yield address.read_text()
        cluster.stdin.close()


@pytest.mark.slow
def test_the_figures_command_on_a_cluster(tmp_path, scheduler):
    told = {}
    for name, where in {"here": ("--jobs", "1"), "there": ("--scheduler", scheduler)}.items():
        process = figures(tmp_path, "vni_depth_width", "--no-cache", "--out", str(tmp_path / name), *where)
        told[name] = end_of(process)
    assert [code for code, _ in told.values()] == [0, 0], told
    for data in (tmp_path / "here").glob("*.csv"):
        assert data.read_bytes() == (tmp_path / "there" / data.name).read_bytes()


@pytest.mark.parametrize(
    "address", ["nonsense://x", *(pytest.param(each, marks=pytest.mark.slow) for each in ("tcp://127.0.0.1:9", ""))]
)
def test_a_scheduler_that_is_not_there(tmp_path, address):
    code, said = end_of(figures(tmp_path, "--scheduler", address, "--out", str(tmp_path / "out")))
    assert code == 2
    assert "--scheduler must be the address of a Dask scheduler" in said and repr(address) in said
    assert "Traceback" not in said


def test_the_missing_extra_is_named(tmp_path):
    (tmp_path / "dask.py").write_text("raise ImportError('hidden')")
    process = figures(tmp_path, "--scheduler", "tcp://127.0.0.1:9", env={"PYTHONPATH": str(tmp_path)})
    code, said = end_of(process)
    assert code == 2 and said.count("\n") == 1 and "rmt_vn[cluster]" in said


# --- the figures command ----------------------------------------------------------------------------------------------


def figures(folder, *arguments, env=()):
    command = [sys.executable, "-m", "rmt_vn.figures", *arguments]
    return started(command, said=folder / "said", env={"XDG_CACHE_HOME": str(folder / "home"), **dict(env)})


@pytest.mark.slow
def test_an_interrupted_command_says_so_in_one_line_and_goes_on_later(tmp_path):
    arguments = (
        "gradients_and_nodes",
        "--jobs",
        "2",
        "--cache",
        str(tmp_path / "cache"),
        "--out",
        str(tmp_path / "out"),
    )
    process = figures(tmp_path, *arguments)

    def kept():
        return set((tmp_path / "cache").glob("[0-9a-f]*/*.npz"))

    wait_until(lambda: len(kept()) > 4)
    os.killpg(process.pid, signal.SIGINT)
    code, said = end_of(process)
    assert code == 130
    assert said.count("\n") == 1 and said.startswith("interrupted") and "goes on where this one stopped" in said
    wait_until(lambda: not alive_in(process.pid), seconds=3)
    assert list((tmp_path / "out").iterdir()) == []
    before = {path: path.stat().st_mtime_ns for path in kept()}
    assert end_of(figures(tmp_path, *arguments))[0] == 0
    assert before.items() <= {path: path.stat().st_mtime_ns for path in kept()}.items()


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0, 0.2, 0.5])
def test_an_interrupt_while_workers_start_is_one_line(tmp_path, delay):
    process = figures(tmp_path, "vni_depth_width", "--no-cache", "--jobs", "2", "--out", str(tmp_path / "out"))

    def is_worker(pid):
        with contextlib.suppress(OSError):
            return b"popen_loky" in Path(f"/proc/{pid}/cmdline").read_bytes()

    wait_until(lambda: any(map(is_worker, alive_in(process.pid))))
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    code, said = end_of(process)
    assert (code, said) == (130, f"interrupted; finished figures are in {tmp_path / 'out'}\n")


@pytest.mark.slow
def test_the_default_cache_is_where_the_platform_keeps_such_things(tmp_path):
    arguments = ("phase_diagram", "--jobs", "1", "--out", str(tmp_path / "out"))
    assert end_of(figures(tmp_path, *arguments, "--no-cache"))[0] == 0
    assert not (tmp_path / "home" / "rmt_vn").exists()
    assert end_of(figures(tmp_path, *arguments))[0] == 0
    if sys.platform == "linux":
        assert list((tmp_path / "home" / "rmt_vn").rglob("*.npz"))


def on_a_disk_of_its_own(folder, options, *, before="true", after="true"):
    """The start of a command that runs with a small file system mounted at `folder`, or, where nobody may mount, with a
    limit on the size of files, which fails as a full disk does."""
    mounted = f'mount -t tmpfs -o {options} tmpfs "$0"'
    namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    folder.mkdir(exist_ok=True)
    if subprocess.run([*namespace, "sh", "-c", mounted, str(folder)], capture_output=True).returncode != 0:
        namespace, mounted = [], "ulimit -f 1"
    return [*namespace, "sh", "-c", f'{mounted}; {before}; "$@"; code=$?; {after}; exit $code', str(folder)]


@pytest.mark.slow
def test_a_full_cache_is_told_and_what_was_kept_stays(tmp_path, undisturbed):
    study = Study(tmp_path)
    elsewhere = tmp_path / "kept"
    start = on_a_disk_of_its_own(study.cache, "size=100k", after=f'cp -r "$0" {elsewhere}')
    code, said = end_of(study.start(start=start))
    assert code == 1 and "results cannot be kept in this folder" in said and str(study.cache) in said
    assert not study.out.exists()
    assert not list(elsewhere.glob(".*"))
    # With room to go on, it does.
    elsewhere.rename(tmp_path / "room")
    study.cache = tmp_path / "room"
    kept, begun = study.kept(), len(study.began())
    assert end_of(study.start())[0] == 0
    assert not {name for _, name in study.began()[begun:]} & kept
    assert study.out.read_bytes() == undisturbed


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_figures_whole(tmp_path):
    arguments = ("phase_diagram", "--no-cache", "--jobs", "1", "--out")
    old, out, after = (tmp_path / name for name in ("old", "disk", "after"))
    assert end_of(figures(tmp_path, *arguments, str(old)))[0] == 0
    size = sum(path.stat().st_size for path in old.iterdir())
    start = on_a_disk_of_its_own(out, f"size={size + 60_000}", before=f'cp {old}/* "$0"', after=f'cp -r "$0" {after}')
    command = [sys.executable, "-m", "rmt_vn.figures", *arguments, str(out)]
    code, said = end_of(started([*start, *command], said=tmp_path / "full"))
    assert code == 1
    assert said.startswith("phase_diagram: FAILED: OSError: ") and "Traceback" not in said
    assert {path.name: path.read_bytes() for path in after.iterdir()} == {
        path.name: path.read_bytes() for path in old.iterdir()
    }


@pytest.mark.slow
def test_a_folder_that_is_read_only(tmp_path):
    command = [sys.executable, "-m", "rmt_vn.figures", "phase_diagram"]
    for option in ("--out", "--cache"):
        folder = tmp_path / option.strip("-")
        start = on_a_disk_of_its_own(folder, "ro")
        folder.chmod(0o500)
        code, said = end_of(started([*start, *command, option, str(folder)], said=tmp_path / f"said{option}"))
        assert code == 2, said
        assert said.count("\n") == 1 and f"error: {option}" in said and repr(str(folder)) in said
