"""Batches on their way to a simulated GPU: nothing is overwritten before its use is over, and the host waits for it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from lossgrid.data import split_of
from lossgrid.data.batch import Batch, equal_batches
from lossgrid.data.batches import Collated, Stream, _kept
from lossgrid.data.slots import SLOTS, Slots
from lossgrid.data.transfer import Transfer
from tests.builders import a_batch, a_ragged_batch

PATIENCE = ("eager", "lazy", *range(20))  # of the device: as soon as it can, as late as it may, or at random, by a seed
CPU = torch.device("cpu")


@dataclass(eq=False)
class Mark:
    """An event: how often it was set in a stream, and how often the device has passed it."""

    device: Device
    times_set: int = 0
    times_passed: int = 0

    def synchronize(self) -> None:
        while self.times_passed < self.times_set:
            self.device.step()


@dataclass(eq=False)
class Operation:
    """Something the device does once it has passed ``after`` so many times; then it passes ``then``."""

    do: Callable[[], None]
    after: Mark | None = None
    then: Mark | None = None
    times: int = field(init=False)

    def __post_init__(self) -> None:
        self.times = 0 if self.after is None else self.after.times_set
        if self.then is not None:
            self.then.times_set += 1

    @property
    def is_ready(self) -> bool:
        return self.after is None or self.after.times_passed >= self.times


class Device:
    """A GPU with two streams, each a queue of operations that the host has asked for and the device has yet to do."""

    def __init__(self, patience: Any = "lazy") -> None:
        self.copying: deque[Operation] = deque()
        self.computing: deque[Operation] = deque()
        self.choice = random.Random(patience)
        self.patience = patience
        self.sizes: list[int] = []  # of all buffers, in bytes
        self.waiting = {"for the copy": 0, "for the clone": 0}
        self.most = dict.fromkeys(self.waiting, 0)

    def step(self) -> None:
        """Do an operation that is ready, copies first: what is copied too early does the most harm."""
        ready = [queue for queue in (self.copying, self.computing) if queue and queue[0].is_ready]
        queue = ready[0] if isinstance(self.patience, str) else self.choice.choice(ready)
        operation = queue.popleft()
        operation.do()
        if operation.then is not None:
            operation.then.times_passed += 1

    def ask(self, queue: deque[Operation], operation: Operation) -> None:
        queue.append(operation)
        while self.copying and self.copying[0].is_ready and self.patience != "lazy":
            self.step()
        for _ in range({"eager": 9, "lazy": 0}.get(self.patience, self.choice.randrange(3))):
            if self.copying or self.computing:
                self.step()

    def finish(self) -> None:
        while self.copying or self.computing:
            self.step()

    def now_waiting(self, where: str, change: int) -> None:
        self.waiting[where] += change
        self.most[where] = max(self.most[where], self.waiting[where])

    def event(self) -> Mark:
        return Mark(self)

    def buffers(self, nbytes: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.sizes.append(nbytes)
        here, there = torch.empty(2, nbytes, dtype=torch.uint8)
        self.ask(self.computing, Operation(lambda: there.fill_(255)))  # this memory was freed, and is written to yet
        return here, there

    def mark(self, event: Mark) -> None:
        self.ask(self.computing, Operation(lambda: None, then=event))

    def send(self, here: torch.Tensor, there: torch.Tensor, *, after: Mark, then: Mark) -> None:
        assert not here.requires_grad
        self.now_waiting("for the copy", 1)

        def copy() -> None:
            there.copy_(here)
            self.now_waiting("for the copy", -1)
            self.now_waiting("for the clone", 1)

        self.ask(self.copying, Operation(copy, after, then))

    def take(self, there: torch.Tensor, *, after: Mark, then: Mark) -> torch.Tensor:
        own = torch.zeros_like(there)

        def clone() -> None:
            own.copy_(there)
            self.now_waiting("for the clone", -1)

        self.ask(self.computing, Operation(clone, after, then))
        return own

    def compute(self, function: Callable[[], None]) -> None:
        self.ask(self.computing, Operation(function))


def one_tensor(number: int) -> Batch:
    return Batch(torch.full((4, 3), float(number)), torch.arange(4) + number)


def seen(slots: Slots, device: Device, batches: Iterator[Batch]) -> list[Batch]:
    """Return what the device saw when it computed with each of ``batches``."""
    found: list[Batch] = []
    for batch in map(slots, batches):
        device.compute(lambda batch=batch: found.append(batch.apply(torch.clone)))  # type: ignore[misc]
    device.finish()
    return found


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert equal_batches(one, other)
        assert (one.label, one.size) == (other.label, other.size)
        assert [leaf.dtype for leaf in one.leaves] == [leaf.dtype for leaf in other.leaves]


@pytest.mark.parametrize("make", [one_tensor, a_ragged_batch])
@pytest.mark.parametrize("patience", PATIENCE)
def test_no_batch_is_overwritten_before_its_use_is_over(patience: Any, make: Callable[[int], Batch]) -> None:
    device = Device(patience)
    slots, batches = Slots(device), list(map(make, range(30)))
    for _ in range(2):
        assert_same(seen(slots, device, iter(batches)), batches)


@pytest.mark.parametrize("patience", PATIENCE)
def test_the_host_is_no_more_than_the_slots_ahead_of_the_device(patience: Any) -> None:
    device = Device(patience)
    computed = 0

    def compute() -> None:
        nonlocal computed
        computed += 1

    for number, _ in enumerate(map(Slots(device), map(one_tensor, range(50)))):
        device.compute(compute)
        assert number - computed <= 2 * SLOTS
    assert max(device.most.values()) <= SLOTS


def test_buffers_are_made_once_for_all_passes() -> None:
    device = Device()
    slots = Slots(device)
    for _ in range(3):
        seen(slots, device, map(one_tensor, range(10)))
    assert len(device.sizes) == SLOTS


def test_buffers_grow_to_the_widest_batch() -> None:
    device = Device()
    slots = Slots(device)
    batches = [Batch(torch.ones(1, width), torch.ones(1)) for width in (10, 10, 1000, 20, 10, 2000, 10, 2000)]
    for _ in range(2):
        assert_same(seen(slots, device, iter(batches)), batches)
    assert len(device.sizes) == 2 * SLOTS
    assert max(device.sizes) < 3 * 4 * 2000


@pytest.mark.parametrize("patience", PATIENCE)
def test_a_pass_that_breaks_off_leaves_the_slots_usable(patience: Any) -> None:
    device = Device(patience)
    slots = Slots(device)

    def failing() -> Iterator[Batch]:
        yield from map(one_tensor, range(5))
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        seen(slots, device, failing())
    held = next(map(slots, map(one_tensor, range(3))))  # only the first batch is taken, and kept
    batches = [one_tensor(number) for number in range(10, 20)]
    assert_same(seen(slots, device, iter(batches)), batches)
    assert equal_batches(held, one_tensor(0))


def test_two_passes_at_once_do_not_disturb_each_other() -> None:
    device = Device()
    slots = Slots(device)
    ours, theirs = (map(slots, map(one_tensor, range(start, start + 9))) for start in (0, 100))
    pairs = list(zip(ours, theirs, strict=True))
    device.finish()
    assert_same([one for one, _ in pairs], [one_tensor(number) for number in range(9)])
    assert_same([other for _, other in pairs], [one_tensor(number) for number in range(100, 109)])


def test_memory_formats_arrive_as_they_are() -> None:
    pictures = torch.randn(4, 3, 5, 6).contiguous(memory_format=torch.channels_last)
    inputs = {
        "last": pictures,
        "first": pictures.contiguous(),
        "part": pictures[:, :2],
        "same": torch.ones(3).expand(4, 3),
    }
    device = Device("eager")
    found = Slots(device)(Batch(inputs, torch.arange(4))).inputs
    device.finish()
    assert all(torch.equal(found[name], tensor) for name, tensor in inputs.items())
    assert found["last"].is_contiguous(memory_format=torch.channels_last)
    assert found["first"].is_contiguous()


def test_a_slot_serves_with_and_without_gradients() -> None:
    device = Device("eager")
    slots = Slots(device)
    with torch.inference_mode():
        list(map(slots, map(one_tensor, range(SLOTS))))
    for _ in range(SLOTS):
        batch = slots(Batch(torch.ones(4, 3, requires_grad=True), torch.ones(4)))
        device.finish()
        assert not batch.inputs.requires_grad
        batch.inputs.detach().requires_grad_().square().sum().backward()


def test_streams_of_the_same_samples_share_their_slots() -> None:
    device = Device("eager")
    inputs = torch.randn(20, 3, dtype=torch.float64)
    split = split_of((inputs, torch.arange(20) % 2), source="mine")
    stream = Stream(split, Transfer(CPU, torch.float64, False), 4, Slots(device))
    for one in (stream, stream.rebatched(2), stream.rebatched(3)):
        found = [(batch, device.finish())[0] for batch in one]
        assert torch.equal(torch.cat([batch.inputs for batch in found]), inputs)
    assert len(device.sizes) == SLOTS
    assert torch.equal(stream.first(7).inputs, inputs[:7])
    assert torch.equal(stream.ends()[0].inputs, inputs[:4])


def test_batches_of_a_collate_function_that_are_kept_are_their_own() -> None:
    device = Device("eager")
    samples = [(torch.full((1 + number % 3,), float(number)), number % 2) for number in range(12)]

    def padded(given: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.nn.utils.rnn.pad_sequence([x for x, _ in given], True), torch.tensor([y for _, y in given])

    split = split_of(samples, source="mine", collate=padded)
    stream = Stream(split, Transfer(CPU, torch.float32, False), 2)
    expected = list(stream)
    kept = Collated.of(Stream(split, stream.transfer, 2, Slots(device)))
    assert_same(list(kept), expected)


def test_samples_kept_on_a_device_come_there_in_batches() -> None:
    device = Device("eager")
    pictures, labels = a_batch(10, 3, 4, 5, classes=4)
    split = split_of(({"picture": pictures.double(), "ids": torch.arange(20).reshape(10, 2)}, labels), source="mine")
    transfer = Transfer(CPU, torch.float32, True)
    kept = _kept(Stream(split, transfer, 4, Slots(device)))
    assert split.whole is not None
    assert_same([kept.whole], [transfer(split.whole)])
    assert kept.inputs["picture"].is_contiguous(memory_format=torch.channels_last)
    assert max(device.sizes) < 1.5 * 4 * pictures.double().nbytes / 10 + 1000
