"""Calls on a Dask cluster: scheduled and tried again by Dask itself, with a line wherever somebody is lost.

Dask's own functions wait in silence for workers, and for a scheduler that does not answer; so it is looked after here.
"""

from __future__ import annotations

import asyncio
import pickle
import time
import warnings
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

from cloudpickle import dumps

from rmt_vn.checks import one_line
from rmt_vn.experiments.calls import Lost

# Seconds: between two looks at the cluster, and after which no answer, or no heartbeat of a worker, is silence.
_INTERVAL = 1
_ANSWER = 6
_HEARTBEAT = 7
# Calls in the hands of the scheduler, and how many it is handed at once. They are more than there are threads, since a
# cluster that adapts itself to its work looks at them.
_IN_HAND = 100
_PER_THREAD = 4


class SchedulerGone(ConnectionError):
    """The scheduler of a cluster is gone, and with it the cluster."""


def connected(address: str) -> Any:
    """A client of the Dask scheduler at this address.

    Parameters
    ----------
    address : str
        For example ``tcp://10.0.0.1:8786``.

    Returns
    -------
    dask.distributed.Client

    Raises
    ------
    ImportError
        If Dask is not installed.
    ConnectionError
        If within some seconds no Dask scheduler answers there.
    """
    from dask.distributed import Client, Security
    from distributed.comm import connect

    async def greeted() -> None:
        arguments = Security().get_connection_args("client")
        # A client would wait for ever for a greeting.
        comm = await asyncio.wait_for(connect(address, timeout=_ANSWER - 1, **arguments), _ANSWER)
        comm.abort()

    try:
        asyncio.run(greeted())
    except TimeoutError:
        raise ConnectionError("what listens there does not answer as a Dask scheduler does") from None
    except (OSError, TypeError, ValueError) as error:  # nobody listens, no certificates, an address of unknown form
        raise ConnectionError(one_line(error)) from error
    except Exception as error:  # of many kinds, where something else was taken for numbers and lengths
        raise ConnectionError("what listens there does not speak as a Dask scheduler does") from error
    try:
        return Client(address)
    except Exception as error:  # a worker, say
        raise ConnectionError(f"what listens there is no Dask scheduler ({one_line(error)})") from error


def outcomes(
    client: Any, call: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], *, label: str, patience: float
) -> Generator[Any]:
    """Yield call(*each) for each of the arguments, in the order in which they are done.

    Workers may come and go meanwhile; of those that go, and where there are none, a warning tells.

    Parameters
    ----------
    client : dask.distributed.Client
    call : callable
        It and all that it is given and returns must be known to the workers, or such that cloudpickle can send it.
    arguments : iterable of tuple
    label : str
        The beginning of all that is told.
    patience : float
        Seconds after which a cluster without workers, or a scheduler that does not answer, is given up.

    Raises
    ------
    Lost
        If the connection to the scheduler was lost, and with it all that was in hand; it is there again.
    SchedulerGone
        If the connection was lost for good.
    TimeoutError
        If nobody has worked for longer than `patience`.
    RuntimeError
        If a worker cannot load what it is sent, because a package is missing there, or if several workers have died of
        the same call.
    """
    from dask.distributed import Client

    if not isinstance(client, Client):
        raise TypeError(f"client must be a dask.distributed.Client, got {client!r}")
    loop: Any = client.loop
    remaining = iter(arguments)
    watch = _Watch(client, label, patience)
    arrived: SimpleQueue[tuple[Any, Any]] = SimpleQueue()
    in_hand: set[Any] = set()

    async def fetch(future: Any) -> None:
        # Dask's as_completed forgets a future whose result is lost on its way, with a traceback.
        try:
            arrived.put((future, await future.result()))
        except (Exception, asyncio.CancelledError) as error:
            arrived.put((future, error))

    try:
        while True:
            watch.look()
            room = max(0, _IN_HAND + _PER_THREAD * watch.threads - len(in_hand))
            some = list(islice(remaining, min(room, _IN_HAND)))
            for each in some:
                # To be loaded by a function that every worker has: one that lacks the package can say so.
                future = client.submit(pickle.loads, dumps(_Sent(call, each)), pure=False)
                in_hand.add(future)
                loop.add_callback(fetch, future)
            if not in_hand:
                return
            try:
                # After a full load there may be room for another.
                future, result = arrived.get(timeout=0 if len(some) == _IN_HAND else _INTERVAL)
            except Empty:
                continue
            if future.status == "error":
                raise _fault(result, label)
            if isinstance(result, BaseException):
                raise watch.lost()
            in_hand.discard(future)
            future.release()
            yield pickle.loads(result)
    finally:
        # Not cancelled, since that waits for the scheduler, which may be gone.
        for future in in_hand:
            future.release()


class _Sent:
    """A call that is made by whoever unpickles it."""

    def __init__(self, call: Callable[..., Any], arguments: tuple[Any, ...]):
        self._call, self._arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return _packed, (self._call, self._arguments)


def _packed(call: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    """In a worker: the outcome of a call. What cannot be packed is an error here, where Dask reports it."""
    return dumps(call(*arguments))


def _fault(error: Any, label: str) -> Exception:
    """Why a call has no outcome, though the cluster is there."""
    from dask.distributed import KilledWorker

    if isinstance(error, KilledWorker):
        tried = f"a call was tried {error.allowed_failures + 1} times, and its worker died each time"
        return RuntimeError(f"{label}: {tried} (out of memory?)")
    lacks = f"lacks the package {error.name!r}" if isinstance(error, ModuleNotFoundError) else "cannot load a call"
    return RuntimeError(
        f"{label}: a worker of the cluster {lacks}; install there what is installed here ({one_line(error)})"
    )


class _Watch:
    """Who is at work on a cluster, and a line on every loss."""

    def __init__(self, client: Any, label: str, patience: float):
        self.threads = 0
        self._label, self._client, self._patience = label, client, patience
        self._workers: set[str] = set()
        # Of each worker its last heartbeat, by the scheduler's clock, and when that was new, by this one's.
        self._heard: dict[str, tuple[float, float]] = {}
        self._silent: set[str] = set()
        self._next = self._busy = time.monotonic()
        self._missing = ""

    def look(self) -> None:
        """Look at the cluster, if that was not done within the last second."""
        if time.monotonic() < self._next:
            return
        if self._client.status != "running":
            raise self.lost()
        workers = self._registered()
        if workers is None:
            self._heard = {}
            self._wait_for("the scheduler does not answer")
        else:
            if gone := self._workers - set(workers):
                self._tell(f"{len(gone)} of {len(self._workers)} workers are gone")
            self._workers, self.threads = set(workers), sum(each["nthreads"] for each in workers.values())
            self._listen({address: each["last_seen"] for address, each in workers.items()})
            if workers:
                self._busy, self._missing = time.monotonic(), ""
            else:
                self._wait_for("there are no workers")
        self._next = time.monotonic() + _INTERVAL

    def lost(self) -> Exception:
        """The error for a connection that is lost, once it is known whether there is a new one."""
        time.sleep(_INTERVAL)  # the client, too, has to notice it
        if self._client.status == "connecting":
            self._tell("the connection to the scheduler is lost; trying to connect again")
        while self._client.status in ("connecting", "closing"):
            time.sleep(0.1)
        if self._client.status == "running":
            return Lost("the connection to the scheduler was lost")
        return SchedulerGone(f"{self._label}: the scheduler is gone, and with it the cluster")

    def _registered(self) -> dict[str, dict[str, Any]] | None:
        """What the scheduler knows of each worker; None if it does not answer."""
        try:
            return self._client.sync(self._client.scheduler.identity, callback_timeout=_ANSWER)["workers"]
        except (TimeoutError, OSError, AttributeError):  # AttributeError: a client that has just been closed
            return None

    def _listen(self, last_seen: dict[str, float]) -> None:
        """Tell of workers that are silent: when a machine is cut off, Dask takes minutes to notice."""
        now = time.monotonic()
        before = self._heard
        self._heard = {
            address: before[address] if address in before and before[address][0] == seen else (seen, now)
            for address, seen in last_seen.items()
        }
        silent = {address for address, (_, since) in self._heard.items() if now - since > _HEARTBEAT}
        if silent - self._silent:
            what = f"{len(silent)} of {len(last_seen)} workers have been silent for {_HEARTBEAT} s"
            self._tell(f"{what}; others do their calls if Dask gives them up, by default after 5 minutes")
        self._silent = silent

    def _wait_for(self, missing: str) -> None:
        """Nobody is at work: say why, once, and be patient."""
        idle = time.monotonic() - self._busy
        if idle > self._patience:
            raise TimeoutError(f"{self._label}: {missing}, for {idle:.0f} s")
        if missing != self._missing:
            self._missing = missing
            self._tell(f"{missing}; waiting")

    def _tell(self, what: str) -> None:
        # With the time: of equal warnings only the first is shown.
        warnings.warn(f"{self._label}: {what} ({time.strftime('%H:%M:%S')})", stacklevel=3)
