"""A virtual cluster: every rank a greenlet with a clock of its own, running real code on simulated messages.

A discrete-event simulation. A rank runs until it looks at its mail; it may look once no other rank is earlier, so that
nothing can arrive that it should have seen. Its clock is advanced by what the benchmark says a point takes
(:meth:`Rank.work`), by the measured :class:`Costs` of every message, and by what its own code, that of
``lossgrid.parallel``, really takes on this machine while it runs here.

A rank that naps twice in a row for the same time has found nothing in between and would go on so: it dozes, out of the
simulation, until something happens to it, and wakes at the first look after. This is what makes 16,384 ranks cheap.

Not simulated: sends that wait for the receiver (large messages), networks that are busy, signals.
"""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from heapq import heappop, heappush
from itertools import count
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
from greenlet import getcurrent, greenlet

from lossgrid.parallel import World, mail, world

BROADCAST_TAG = -1
T = TypeVar("T")


@dataclass(frozen=True)
class Costs:
    """What a rank spends on messages, in seconds of its own time but for the latency.

    Attributes:
        latency: From the call that sends a message to the moment the receiver can see it.
        probe: Looking for a message in vain.
        probe_rank: More of it for every rank there is: MPI may ask every connection, one after the other.
        receive: Finding a message and receiving it.
        receive_byte: More of it for every byte.
        send: Sending a message.
        nap: How much longer a sleep takes than it was asked to.
    """

    latency: float = 0.0
    probe: float = 0.0
    probe_rank: float = 0.0
    receive: float = 0.0
    receive_byte: float = 0.0
    send: float = 0.0
    nap: float = 0.0


@dataclass
class Status:
    """What a look at the mailbox found, as ``mpi4py.MPI.Status`` tells it."""

    source: int = -1
    length: int = 0

    def Get_source(self) -> int:  # noqa: N802
        """Return who sent the message."""
        return self.source

    def Get_count(self, datatype: Any) -> int:  # noqa: N802
        """Return how many numbers the message holds."""
        return self.length


@dataclass(frozen=True)
class Request:
    """Something under way; ``Test`` tells whether it has happened."""

    Test: Callable[[], bool]


def simulated(method: Callable[..., T]) -> Callable[..., T]:
    """Return ``method``, a call of a rank into the simulation: until it came, the rank's own code ran."""

    @wraps(method)
    def call(rank: Rank, *args: Any, **kwargs: Any) -> T:
        rank.advance("code", rank.cluster.timer() - rank.resumed)
        try:
            return method(rank, *args, **kwargs)
        finally:
            rank.resumed = rank.cluster.timer()

    return call


class Rank(greenlet):
    """A rank: its code, its clock, its mail; at the same time its communicator, as far as the coordinator uses one."""

    def __init__(self, cluster: Cluster, number: int, main: Callable[[World], Any]) -> None:
        """Be rank ``number`` of ``cluster`` and run ``main``."""
        super().__init__()
        self.cluster, self.number, self.main = cluster, number, main
        self.now = self.resumed = 0.0
        # Where its time went, in seconds (the rest is waiting): computing, inside MPI, in the coordinator's own code.
        self.account = {"points": 0.0, "messages": 0.0, "code": 0.0}
        self.received = 0  # messages
        self.mail: dict[int, list[tuple[float, int, int, Any]]] = {}  # tag -> heap of (arrival, order, source, message)
        self.wakes = math.nan  # when it goes on; infinity: when something happens
        self._turn = 0.0  # seconds from one look to the next while dozing
        self._nap: float | None = None  # the last one, if nothing has happened since
        self._napped = self._woke = 0.0  # when it began and ended

    def run(self) -> Any:
        """Run the code of this rank."""
        size = self.cluster.size
        self.resumed = self.cluster.timer()
        result = self.main(World(self, self.number, size, local_rank=0, local_size=1, host=f"node{self.number}"))
        self.advance("code", self.cluster.timer() - self.resumed)
        return result

    def advance(self, part: str, seconds: float) -> None:
        """Spend ``seconds`` on ``part`` of the account."""
        self.now += seconds
        self.account[part] += seconds

    @simulated
    def work(self, seconds: float) -> None:
        """Compute for ``seconds``."""
        self.advance("points", seconds)

    @simulated
    def monotonic(self) -> float:
        """Return what the clock of this rank shows."""
        return self.now

    @simulated
    def sleep(self, seconds: float) -> None:
        """Sleep, and wake late as the operating system does; doze where the last nap was as long and to no avail."""
        if seconds == self._nap:
            self._turn = self.now - self._napped
            wakes = self._look_after(self._next_event())
        else:
            wakes = self.now + seconds + self.cluster.costs.nap
        self._nap, self._napped = seconds, self.now
        self._wait(wakes)
        self._turn, self._woke = 0.0, self.now

    @simulated
    def Iprobe(self, source: int | None = None, tag: int = 0, status: Status | None = None) -> bool:  # noqa: N802
        """Tell whether a message is there and fill ``status`` with its source and length."""
        self._wait(self.now)
        mail = self.mail.get(tag)
        if not mail or mail[0][0] > self.now:
            # A worker has few connections, root one to everybody.
            ranks = self.cluster.size if self.number == 0 else 1
            self.advance("messages", self.cluster.costs.probe + self.cluster.costs.probe_rank * ranks)
            return False
        self._nap = None
        if status is not None:
            status.source, status.length = mail[0][2], len(mail[0][3])
        return True

    @simulated
    def Recv(self, buffer: np.ndarray, source: int | None = None, tag: int = 0) -> None:  # noqa: N802
        """Receive the message that ``Iprobe`` found."""
        _, _, sender, message = heappop(self.mail[tag])
        assert source in (None, sender)
        buffer[:] = message
        self.received += 1
        self.advance("messages", self.cluster.costs.receive + self.cluster.costs.receive_byte * message.nbytes)

    @simulated
    def Send(self, message: np.ndarray, dest: int, tag: int = 0) -> None:  # noqa: N802
        """Send a message small enough to leave at once."""
        self.advance("messages", self.cluster.costs.send)
        self._post(dest, tag, message)

    @simulated
    def Isend(self, message: np.ndarray, dest: int, tag: int = 0) -> Request:  # noqa: N802
        """Send a message; it leaves at once."""
        self.advance("messages", self.cluster.costs.send)
        self._post(dest, tag, message)
        return Request(lambda: True)

    @simulated
    def Ibarrier(self) -> Request:  # noqa: N802
        """Enter the barrier."""
        barrier = self.cluster.barrier
        barrier.enter(self)

        def is_over() -> bool:
            self._wait(self.now)
            return barrier.over <= self.now

        return Request(is_over)

    def bcast(self, value: T, root: int) -> T:
        """Return root's ``value``, which reaches all along a tree."""
        if self.number == root:
            for rank in range(self.cluster.size):
                if rank != root:
                    self._post(rank, BROADCAST_TAG, [value], steps=self.cluster.depth)
            return value
        while not self.Iprobe(source=root, tag=BROADCAST_TAG):
            self.sleep(1e-6)
        message: T = heappop(self.mail[BROADCAST_TAG])[3][0]
        return message

    def notice(self, when: float) -> None:
        """Wake in time for what happens at ``when``, if dozing."""
        if self._turn:
            self.cluster.wake(self, min(self.wakes, self._look_after(when)))

    def _post(self, dest: int, tag: int, message: Any, steps: int = 1) -> None:
        receiver, arrival = self.cluster.ranks[dest], self.now + steps * self.cluster.costs.latency
        heappush(receiver.mail.setdefault(tag, []), (arrival, next(self.cluster.order), self.number, message))
        receiver.notice(arrival)

    def _wait(self, until: float) -> None:
        """Go on at ``until``, after all who are earlier."""
        if until < self.cluster.next_wake():
            self.now = until
        else:
            self.cluster.wake(self, until)
            self.cluster.hub.switch()

    def _next_event(self) -> float:
        """Return when something happens that this rank had not seen when it woke, as far as it is known, in seconds."""
        known = [mail[0][0] for mail in self.mail.values() if mail] + [self.cluster.barrier.over]
        return min((when for when in known if when > self._woke), default=math.inf)

    def _look_after(self, when: float) -> float:
        """Return the time of the first look after ``when``, in seconds."""
        if when == math.inf:
            return when
        return self.now + max(1, math.ceil((when - self.now) / self._turn)) * self._turn


class Barrier:
    """Where all ranks meet."""

    def __init__(self, size: int, delay: float) -> None:
        """Let ``size`` ranks go ``delay`` seconds after the last has come."""
        self.over = math.inf
        self._size, self._delay = size, delay
        self._inside: list[Rank] = []

    def enter(self, rank: Rank) -> None:
        """Take a rank in."""
        self._inside.append(rank)
        if len(self._inside) == self._size:
            self.over = max(other.now for other in self._inside) + self._delay
            for other in self._inside:
                other.notice(self.over)


class Cluster:
    """The ranks and what they share: the order of events, the barrier, the network."""

    def __init__(self, size: int, costs: Costs, *, timer: Callable[[], float] = time.perf_counter) -> None:
        """Make ``size`` ranks; ``timer`` tells how long their own code takes, in seconds."""
        self.size, self.costs, self.timer = size, costs, timer
        self.depth = math.ceil(math.log2(size)) if size > 1 else 0  # of a tree of all ranks
        self.order = count()
        self.barrier = Barrier(size, 2 * self.depth * costs.latency)
        self.ranks: list[Rank] = []
        self.hub = getcurrent()
        self._agenda: list[tuple[float, int, Rank]] = []

    def run(self, main: Callable[[World], Any]) -> None:
        """Run ``main`` as every rank; ``world.comm`` is its :class:`Rank`.

        Raises:
            RuntimeError: Some ranks wait for what never comes.
        """
        self.ranks = [Rank(self, number, main) for number in range(self.size)]
        for rank in self.ranks:
            self.wake(rank, 0.0)
        with simulated_modules():
            while self._agenda:
                when, _, rank = heappop(self._agenda)
                if when == rank.wakes:  # otherwise something woke it before
                    rank.now, rank.wakes = when, math.nan
                    rank.switch()
        waiting = [rank.number for rank in self.ranks if not rank.dead]
        if waiting:
            raise RuntimeError(f"{len(waiting)} of {self.size} ranks wait for ever, rank {waiting[0]} among them")

    def wake(self, rank: Rank, when: float) -> None:
        """Let ``rank`` go on at ``when``; at infinity, not before something happens."""
        rank.wakes = when
        if when < math.inf:
            heappush(self._agenda, (when, next(self.order), rank))

    def next_wake(self) -> float:
        """Return when the next rank goes on, in seconds."""
        return self._agenda[0][0] if self._agenda else math.inf


@contextmanager
def simulated_modules() -> Iterator[None]:
    """Let ``lossgrid.parallel`` see the time of the rank that runs, and no MPI, while the block runs."""
    clock = SimpleNamespace(monotonic=lambda: getcurrent().monotonic(), sleep=lambda s: getcurrent().sleep(s))
    mpi4py = SimpleNamespace(MPI=SimpleNamespace(Status=Status, DOUBLE=None))
    with ExitStack() as patches:
        for module in (mail, world):
            patches.enter_context(patch.object(module, "time", clock))
        patches.enter_context(patch.dict(sys.modules, {"mpi4py": mpi4py}))  # type: ignore[dict-item]
        gc.disable()  # the objects of all ranks together are not those a rank would have to look through
        patches.callback(gc.enable)
        yield
