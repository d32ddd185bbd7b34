"""Every rank: in_common.py CASE: what one rank of a node makes for all, and what becomes of its faults.

Two ranks after each other are a node; with ``one node``, all are.
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


def assert_same(found: Things, expected: Things) -> None:
    """Compare every bit, dtype, shape and the order of numbers in memory."""
    assert (found.number, found.nothing, found.batch.label) == (7, None, "labels")
    assert found.state._metadata == expected.state._metadata  # type: ignore[attr-defined]
    assert list(found.state) == list(expected.state)
    assert found.state["sparse"].is_sparse
    pairs = [*zip(found.batch.leaves, expected.batch.leaves, strict=True)]
    pairs += [(found.state[name], expected.state[name]) for name in expected.state if name != "sparse"]
    for a, b in pairs:
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.stride() == (b if world.node.Get_size() == 1 else torch.empty_like(b)).stride()
        assert a.data_ptr() % 64 == 0 or a.numel() == 0
        assert bits(a).equal(bits(b))


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the bytes of all numbers, by which NaN equals NaN and -0 is not 0."""
    return tensor.resolve_conj().contiguous().view(-1).view(torch.uint8)


def make() -> Things:
    """Make the things, or fail as the case asks for."""
    calls.append(world.rank)
    if case == "refuses" or (case == "one refuses" and world.rank == 0):
        raise InputError("no such file")
    if case == "breaks":
        raise ZeroDivisionError("a fault nobody expected")
    if case == "killed" and world.rank == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if case == "frozen" and world.rank == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
    return things()


def deny(*_: Any, **__: Any) -> Any:
    """Refuse, as containers and old kernels do."""
    raise PermissionError(13, "Permission denied")


logging.basicConfig(format="%(message)s", stream=sys.stdout)
case = sys.argv[1]
launch = detect()
assert launch is not None
world = connect(launch)
last = world.size - 1
if case != "one node":
    world = replace(world, node=world.comm.Split(world.rank // 2, world.rank))
if case == "no memory":
    os.memfd_create = deny
if case == "hidden" and world.rank == last:
    node._mapped = lambda *_: (None, "Permission denied")  # type: ignore[assignment]
if case == "another memory" and world.rank == last:
    found = node._mapped
    node._mapped = lambda place, nbytes, token: found(place, nbytes, b"0" * len(token))
calls: list[int] = []
said = "nothing"
with abort_guard(world), watch.watched(world, 2.0 if case == "frozen" else 0.0):
    try:
        own = made_once(world, "things", make)
        assert calls == ([world.rank] if world.node.Get_rank() == 0 else [])
        assert_same(own, things())
        for leaf in own.batch.leaves:  # as a network that changes its inputs in place
            if leaf.numel() and world.rank == last:
                leaf.zero_()
        barrier(world)
        if world.rank != last:
            assert_same(own, things())
    except (InputError, RankError) as error:
        said = f"{type(error).__name__}: {error}"
every = gather(world, said)
if world.is_root:
    assert len(set(every)) == 1, every
    print(every[0])
