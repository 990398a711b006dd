"""Work placed on a Dask cluster; all that knows Dask.

The driver, this process, hands in tasks and writes what comes back. The cluster holds nothing of its own: what it loses
is handed in again. Large arrays are given to it once, and named by the tasks that need them.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from logging import CRITICAL, getLogger
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline.errors import BadInput, ClusterError

if TYPE_CHECKING:
    from distributed import Client, Future

ARGUMENT = "cluster"
LARGE = 2**20  # bytes of an array that is carried once
SECONDS_TO_CONNECT = 5.0
SECONDS_FOR_WORKERS = 5.0  # those that have just been started register within that
SECONDS_TO_RETURN = 30.0  # that a scheduler which is lost is waited for
SECONDS_TO_LEAVE = 2.0
SECONDS_BETWEEN_ATTEMPTS = 0.5  # to find it
SECONDS_BETWEEN_LOOKS = 0.02
SECONDS_BETWEEN_QUESTIONS = 1.0  # a worker's, whether its task is still wanted
# For local workers: Ctrl-C reaches them too, and it is the driver that ends them.
DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
MOST_LOSSES = 3  # in a row, without one result
MOST_DEATHS = 2  # reports that a task's workers died, four each time by Dask's own count (allowed-failures)
NUMBERS_DEPEND_ON = ("torch", "numpy", "scipy", "scikit-learn")

Versions = dict[str, str]


class NotWanted(Exception):
    """Ends a task in a worker that nobody waits for any more."""


@contextmanager
def joined(address: str | None, note: Callable[[str], None]) -> Iterator[Cluster | None]:
    """Join a cluster at `tcp://HOST:PORT`, or start one by `local:N`, which ends with the block; None gives None.

    `note` is told, in a line, when the cluster is lost and found.

    Raises
    ------
    BadInput
        When Dask isn't installed, the address can't be used, nobody answers there, or there are no workers, or such as
        would compute other numbers than this process.
    """
    if address is None:
        yield None
        return
    _check_address(address)
    with _scheduler(address) as scheduler:
        cluster = Cluster(address, scheduler, note)
        try:
            yield cluster
        finally:
            cluster.leave()


class Work:
    """One task that was handed in."""

    def __init__(self, cluster: Cluster, function: Callable[[Any], Any], task: Any) -> None:
        self.function = function
        self.task = task
        self.future: Future | None = None  # None: lost
        self.outcome: Callable[[], Any] | None = None  # returns what came out, or raises what was raised
        self.deaths = 0
        self._cluster = cluster

    def result(self) -> Any:
        """Wait until it is done, and return what came out."""
        next(self._cluster.as_done([self]))
        assert self.outcome is not None
        return self.outcome()


class Cluster:
    """A cluster's workers. Work that the cluster loses is handed in again.

    A cluster that is away for longer than half a minute is given up; what is left is then done in this process.
    """

    def __init__(self, address: str, scheduler: str, note: Callable[[str], None]) -> None:
        self.address = address
        self._scheduler = scheduler
        self._note = note
        self._losses = 0
        self._outstanding: dict[Work, None] = {}  # in the order in which it was handed in
        self._arrays = _Arrays()
        self._client: Client | None = _connect(address, scheduler, SECONDS_FOR_WORKERS)

    def submit(self, function: Callable[[Any], Any], task: Any) -> Work:
        """Have a function applied to a task; both are pickled, and the task may run more than once."""
        work = Work(self, function, task)
        self._outstanding[work] = None
        self._hand_in(work)
        return work

    def as_done(self, works: Iterable[Work]) -> Iterator[Work]:
        """Give work as it is done."""
        left = dict.fromkeys(works)
        while left:
            done = next((work for work in left if self._is_done(work)), None)
            if done is None:
                time.sleep(SECONDS_BETWEEN_LOOKS)
                continue
            del left[done]
            yield done

    def leave(self) -> None:
        """Say that nothing is wanted any more: tasks in work end within seconds."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(*_lost(), RuntimeError):  # the latter when it is itself about to join again
                client.close(timeout=SECONDS_TO_LEAVE)

    def _hand_in(self, work: Work) -> None:
        work.future = None
        if self._client is None:
            return
        with suppress(*_lost()):
            packed, large = self._arrays.pack((work.function, work.task, versions()))
            arrays = self._arrays.given(self._client, large)
            work.future = self._client.submit(_by_value(), packed, arrays, pure=False)

    def _is_done(self, work: Work) -> bool:
        """Whether a task's outcome is known; sees to it when it was lost."""
        if work.outcome is None:
            self._look(work)
        if work.outcome is None:
            return False
        self._outstanding.pop(work, None)
        work.future = None  # the cluster may forget it
        return True

    def _look(self, work: Work) -> None:
        status = work.future.status if work.future is not None else "cancelled"
        if self._client is None:
            work.outcome = partial(work.function, work.task)
        elif status == "finished":
            self._fetch(work)
        elif status == "error":
            self._take_failure(work)
        elif status == "cancelled":
            self._recover()

    def _fetch(self, work: Work) -> None:
        assert work.future is not None
        try:
            result = work.future.result()
        except _lost():
            work.future = None
            return
        work.outcome = lambda: result
        self._losses = 0

    def _take_failure(self, work: Work) -> None:
        from distributed import KilledWorker

        assert work.future is not None
        failure = work.future.exception()
        if isinstance(failure, KilledWorker):
            work.deaths += 1
        if isinstance(failure, NotWanted) or (isinstance(failure, KilledWorker) and work.deaths < MOST_DEATHS):
            self._hand_in(work)
        elif isinstance(failure, KilledWorker):
            died = f"workers of {self.address} die of a task again and again, last {failure.last_worker.address}"
            work.outcome = partial(_raise, ClusterError(f"{died}; see their logs: often they have too little memory"))
        else:
            work.outcome = partial(_raise, failure)

    def _recover(self) -> None:
        """Join again, and hand in whatever hasn't come back; give the cluster up when that can't be done."""
        self._losses += 1
        self.leave()
        self._arrays.forget()
        for work in self._outstanding:
            work.future = None
        if self._losses <= MOST_LOSSES and self._is_there_again():
            self._note(f"{self.address} is there again, and is given its work again")
            for work in self._outstanding:
                self._hand_in(work)
        else:
            self._note(f"{self.address} is given up: the work goes on in this process")

    def _is_there_again(self) -> bool:
        self._note(f"{self.address} has lost its work; waiting up to {SECONDS_TO_RETURN:.0f} s for it")
        end = time.monotonic() + SECONDS_TO_RETURN
        while (left := end - time.monotonic()) > 0:
            try:
                self._client = _connect(self.address, self._scheduler, left)
            except BadInput:
                time.sleep(SECONDS_BETWEEN_ATTEMPTS)
            else:
                return True
        return False


def _raise(failure: Exception) -> NoReturn:
    raise failure


def end_if_unwanted(_: object = None) -> None:
    """Raise in a worker's task that nobody waits for any more; for training, to be told of each epoch.

    Dask interrupts no task. Asks once a second, and never outside of a worker.

    Raises
    ------
    NotWanted
        When the driver has gone, or has withdrawn the task.
    """
    now = time.monotonic()
    if now < getattr(_asked, "again", 0.0):
        return
    _asked.again = now + SECONDS_BETWEEN_QUESTIONS
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return  # this is the driver, which does the work itself
    task = worker.state.tasks.get(worker.get_current_task())
    if worker.status.name in ("closing", "closed", "failed") or task is None or task.state != "executing":
        raise NotWanted("nobody waits for this task any more")


_asked = threading.local()


@cache
def versions() -> Versions:
    """Return what numbers depend on: this code, by its digest, and libraries."""
    found = {"photofinish": _code(), "Python": ".".join(python_version().split(".")[:2])}
    for library in NUMBERS_DEPEND_ON:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "none"
    return found


def _code() -> str:
    """Photofinish's version, and a digest of its modules: the one changes less often than the other."""
    from pipeline import __version__

    digest = hashlib.sha256()
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{__version__} ({digest.hexdigest()[:12]})"


def _check_address(address: str) -> None:
    if not re.fullmatch(r"local:[1-9]\d*|(tcp|tls)://\S+:\d+", address):
        raise BadInput(
            f"{address!r} is no address of a cluster",
            field=ARGUMENT,
            remedy="give a scheduler's, such as tcp://HOST:8786, or local:4 to start four workers here",
        )
    try:
        import distributed  # noqa: F401
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{address} needs Dask, and {error.name} isn't installed",
            field=ARGUMENT,
            remedy="pip install 'photofinish[dask]'",
        ) from error


def _quiet() -> None:
    """Have Dask say nothing: what concerns the user is said in our own lines."""
    getLogger("distributed").setLevel(CRITICAL)


@contextmanager
def _scheduler(address: str) -> Iterator[str]:
    """Give a scheduler's address; that of `local:N` is one of this process, with N workers that end with it."""
    if not address.startswith("local:"):
        yield address
        return
    from distributed import LocalCluster

    _quiet()
    with LocalCluster(
        n_workers=int(address.removeprefix("local:")),
        threads_per_worker=1,
        dashboard_address=":0",  # or its usual port, and a warning where that is taken
        silence_logs=CRITICAL,
        preload=[DEAF],
    ) as cluster:
        yield cluster.scheduler_address


def _connect(address: str, scheduler: str, seconds_for_workers: float) -> Client:
    """Reach a scheduler, and make sure that its workers compute what this process would."""
    from distributed import Client

    _quiet()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions, which are looked at below
            client = Client(scheduler, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"nobody answers at {address}",
            field=ARGUMENT,
            remedy="start a scheduler there (dask scheduler), or correct the address",
        ) from error
    try:
        client.wait_for_workers(1, timeout=seconds_for_workers)
        _check_workers(address, client)
    except _lost() as error:
        client.close(timeout=1)
        raise BadInput(
            f"{address} has no workers", field=ARGUMENT, remedy=f"start some: dask worker {scheduler} --nthreads 1"
        ) from error
    except BaseException:
        client.close(timeout=1)
        raise
    return client


def _check_workers(address: str, client: Client) -> None:
    for worker, about in client.scheduler_info(n_workers=-1)["workers"].items():
        if about["nthreads"] != 1:
            raise BadInput(
                f"{address}: worker {worker} has {about['nthreads']} threads",
                field=ARGUMENT,
                remedy="start workers with --nthreads 1, as many as there are cores",
            )
    for worker, found in client.run(versions, on_error="return").items():
        complaint = _complaint(found)
        if complaint:
            raise BadInput(
                f"{address}: worker {worker} {complaint}",
                field=ARGUMENT,
                remedy="install there what is installed here; else its numbers would differ",
            )


def _complaint(found: Versions | Exception, wanted: Versions | None = None) -> str | None:
    """Say how a worker isn't as this process is."""
    if isinstance(found, Exception):
        return f"can't run photofinish: {found}"
    wanted = wanted or versions()
    return next(
        (
            f"has {name} {found.get(name)}, and the driver {wanted[name]}"
            for name in wanted
            if found.get(name) != wanted[name]
        ),
        None,
    )


def _lost() -> tuple[type[BaseException], ...]:
    """Return what Dask raises when a scheduler or its workers are away."""
    from asyncio import CancelledError

    from distributed.client import ClosedClientError

    return (OSError, TimeoutError, CancelledError, ClosedClientError)


class _Arrays:
    """Large arrays, each of which the cluster is given once, whatever the number of tasks that hold it."""

    def __init__(self) -> None:
        self._digests: dict[int, tuple[Any, str]] = {}  # by identity: the array, so that it stays, and its digest
        self._futures: dict[str, Future] = {}

    def pack(self, value: Any) -> tuple[bytes, dict[str, Any]]:
        """Pickle something without its large arrays, which are returned beside it, by their digests."""
        import cloudpickle
        import numpy as np

        large: dict[str, Any] = {}

        class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
            def persistent_id(pickler, one: Any) -> str | None:  # noqa: N805
                if type(one) is not np.ndarray or one.nbytes < LARGE or one.dtype.hasobject:
                    return None
                digest = self._digest(one)
                large[digest] = one
                return digest

        packed = io.BytesIO()
        Pickler(packed).dump(value)
        return packed.getvalue(), large

    def given(self, client: Client, large: Mapping[str, Any]) -> dict[str, Future]:
        """Return what stands for arrays on the cluster, which is given those that it hasn't got."""
        for digest, array in large.items():
            if digest not in self._futures:
                # As a task, which the scheduler keeps. What is scattered goes with the last worker that holds it, and
                # what needs it is cancelled; copies don't help, Dask's memory manager clears them away.
                # Pickled, so that a scheduler needs no NumPy.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of its size
                    self._futures[digest] = client.submit(pickle.loads, pickle.dumps(array, protocol=5), pure=False)
        return {digest: self._futures[digest] for digest in large}

    def forget(self) -> None:
        """Take it that the cluster has lost them all."""
        self._futures.clear()

    def _digest(self, array: Any) -> str:
        if id(array) not in self._digests:
            about = f"{array.dtype.str} {array.shape}".encode()
            self._digests[id(array)] = array, hashlib.sha256(about + array.tobytes()).hexdigest()
        return self._digests[id(array)][1]


def _by_value() -> Callable[..., Any]:
    """Return a function that is pickled with its code, since it can't be named: a scheduler needs no photofinish."""

    def photofinish(packed: bytes, arrays: Mapping[str, Any]) -> Any:
        from pipeline.cluster import run_packed

        return run_packed(packed, arrays)

    return photofinish


def run_packed(packed: bytes, arrays: Mapping[str, Any]) -> Any:
    """Do a task in a worker: on one thread, as everywhere, or the last bit would depend on where it was done."""
    import torch
    from threadpoolctl import threadpool_limits

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, digest: str) -> Any:
            return arrays[digest]

    function, task, wanted = Unpickler(io.BytesIO(packed)).load()
    complaint = _complaint(versions(), wanted)  # a worker that came later
    if complaint:
        raise ClusterError(f"a worker of the cluster {complaint}; install there what is installed here")
    torch.set_num_threads(1)
    threadpool_limits(1)
    return function(task)
