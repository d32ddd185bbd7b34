"""Every rank: in_common.py [killed|frozen]: what one rank of a node makes for all, and what becomes of its faults.

Without an argument all cases that a job survives, one after the other; root prints what each of them says.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from lossgrid.data.batch import Batch
from lossgrid.errors import InputError, RankError
from lossgrid.machine.launcher import detect
from lossgrid.parallel import abort_guard, barrier, connect, gather, node, watch
from lossgrid.parallel.world import World
from lossgrid.run.common import made_once

DTYPES = (
    torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool,
    torch.complex64, torch.complex128,
)  # fmt: skip
SHAPES: Sequence[tuple[int, ...]] = ((), (0,), (1,), (7,), (3, 5), (2, 1, 3, 3), (2, 3, 4, 5), (1, 1, 1, 1))


@dataclass(frozen=True)
class Things:
    """All that is ever shared: trees of tensors, the state of a network, numbers, words."""

    batch: Batch
    state: OrderedDict[str, Any]
    number: int
    nothing: None = None


def things() -> Things:
    """Return the same things on every rank."""
    generator = torch.Generator().manual_seed(0)
    parts = {
        f"{dtype} {shape}": (100 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)
        for dtype in DTYPES
        for shape in SHAPES
    }
    several = {name: tensor for name, tensor in parts.items() if tensor.ndim == 4}
    parts |= {
        f"{name} inside": tensor.contiguous(memory_format=torch.channels_last) for name, tensor in several.items()
    }
    parts |= {f"{name} turned": tensor.transpose(0, 1) for name, tensor in parts.items() if tensor.ndim > 1}
    parts["nan"] = torch.tensor([float("nan"), -0.0, float("inf")])
    parts["widened"] = torch.ones(1, 3).expand(4, 3)
    parts["conjugate"] = torch.tensor([1 + 2j, 3 - 1j]).conj()
    state = OrderedDict((name, tensor) for name, tensor in parts.items())
    state["sparse"] = torch.eye(3).to_sparse()
    state._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]
    return Things(Batch(parts, torch.arange(40), "labels"), state, 7)


def assert_same(found: Things, expected: Things, *, alone: bool) -> None:
    """Compare every bit, dtype, shape and the order of numbers in memory."""
    assert (found.number, found.nothing, found.batch.label) == (7, None, "labels")
    assert found.state._metadata == expected.state._metadata  # type: ignore[attr-defined]
    assert list(found.state) == list(expected.state)
    assert found.state["sparse"].is_sparse
    pairs = [*zip(found.batch.leaves, expected.batch.leaves, strict=True)]
    pairs += [(found.state[name], expected.state[name]) for name in expected.state if name != "sparse"]
    for a, b in pairs:
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.stride() == (b if alone else torch.empty_like(b)).stride()  # a copy has no gaps
        assert a.data_ptr() % 64 == 0 or a.numel() == 0
        assert bits(a).equal(bits(b))


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the bytes of all numbers, by which NaN equals NaN and -0 is not 0."""
    return tensor.resolve_conj().contiguous().view(-1).view(torch.uint8)


def make(case: str) -> Things:
    """Make the things, or fail as the case asks for."""
    calls.append(world.rank)
    if case == "all refuse" or (case == "one refuses" and world.rank == 0):
        raise InputError("no such file")
    if case in SIGNALS and world.rank == 0:
        os.kill(os.getpid(), SIGNALS[case])
    return things()


def deny(*_: Any, **__: Any) -> Any:
    """Refuse, as containers and old kernels do."""
    raise PermissionError(13, "Permission denied")


def at_another_place(place: str, nbytes: int, token: bytes) -> Any:
    """Look for the memory where a process in another container has its own."""
    return mapped(place, nbytes, bytes(len(token)))


def prepared(case: str) -> World:
    """Return the ranks of a case: two after each other are a node, or all are; some cannot share memory."""
    os.memfd_create = deny if case == "no memory" else create
    node._mapped = mapped
    if world.rank == last and case in ("hidden", "another memory"):
        node._mapped = at_another_place if case == "another memory" else lambda *_: (None, "Permission denied")
    return world if case == "one node" else replace(world, node=world.comm.Split(world.rank // 2, world.rank))


def outcome_of(case: str) -> str:
    """Run a case and return what becomes of it, the same on every rank."""
    calls.clear()
    ranks = prepared(case)
    try:
        own = made_once(ranks, "things", lambda: make(case))
    except (InputError, RankError) as error:
        return f"{type(error).__name__}: {error}"
    assert calls == ([world.rank] if ranks.node.Get_rank() == 0 else [])
    assert_same(own, things(), alone=ranks.node.Get_size() == 1)
    for leaf in own.batch.leaves:  # as a network that changes its inputs in place
        if leaf.numel() and world.rank == last:
            leaf.zero_()
    barrier(world)
    if world.rank != last:
        assert_same(own, things(), alone=ranks.node.Get_size() == 1)
    return "the same"


SIGNALS = {"killed": signal.SIGKILL, "frozen": signal.SIGSTOP}
CASES = ("nodes", "one node", "no memory", "hidden", "another memory", "all refuse", "one refuses")
logging.basicConfig(format="warning: %(message)s", stream=sys.stdout)
create, mapped = os.memfd_create, node._mapped
launch = detect()
assert launch is not None
world = connect(launch)
last = world.size - 1
calls: list[int] = []
with abort_guard(world), watch.watched(world, 2.0 if "frozen" in sys.argv else 0.0):
    for case in sys.argv[1:] or CASES:
        every = gather(world, outcome_of(case))
        if world.is_root:
            assert len(set(every)) == 1, every
            print(f"{case}: {every[0]}", flush=True)
