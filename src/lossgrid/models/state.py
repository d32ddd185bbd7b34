"""State dicts: loading one into a network, completely or not at all."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import torch

from lossgrid import user_code
from lossgrid.errors import InputError, shown
from lossgrid.models.cast import cast, loses_digits
from lossgrid.models.names import (
    PREFIXES,
    State,
    candidates,
    common_prefixes,
    is_extra,
    listed,
    with_versions,
    without_prefixes,
)

log = logging.getLogger(__name__)

SHARD = re.compile(r"\d+-of-0*(?!1\D)\d+")  # model-00001-of-00002.safetensors
MOST_PREFIXES = 100  # prefixes that an error tries; a hostile file has millions


def load_renamed(model: torch.nn.Module, state: Mapping[str, Any], *, source: str) -> None:
    """Load a state into ``model`` as :func:`load_state` does, if need be under other names, which the log reports.

    The other names lack a common prefix, or what wrappers add. Those are used that fit the network; if none do, those
    that have most names in common with it, so that the error lists what else differs.

    Raises:
        InputError: As of :func:`load_state`.
    """
    try:
        load_state(model, state, source=source)
    except InputError:
        if not all(isinstance(name, str) for name in state):
            raise
        own = without_prefixes(model.state_dict())
        fits = [(*_fit(own, bare), removed, bare) for removed, bare in candidates(state)]
        is_fit, common, removed, found = max(fits, key=lambda fit: fit[:2], default=(False, 0, "", state))
        if not is_fit and common <= len(own.keys() & without_prefixes(state).keys()):
            raise
        log.info("checkpoint %s is loaded without %s", source, removed)
        load_state(model, found, source=source)


def _fit(own: State, given: State) -> tuple[bool, int]:
    """Return whether names are those of the network, of which optional ones may be missing; and how many are."""
    common = own.keys() & given.keys()
    return len(common) == len(given) and own.keys() - common <= set(_optional(own, given)), len(common)


def load_state(model: torch.nn.Module, state: Mapping[str, Any], *, source: str) -> None:
    """Load a state into ``model``, completely or not at all; the model's own hooks for older checkpoints run.

    Args:
        model: Its entries define dtype and device. In ``model.double()`` a state in float64 loses no digits.
        state: Tensors by name. ``num_batches_tracked``, which evaluation does not use, may be missing. Of a tensor with
            several names one is enough: safetensors stores only one.
        source: The checkpoint, for errors.

    Raises:
        InputError: Entries are missing, unexpected, not finite, of other shapes, or beyond the model's dtype; the text
            lists them.
    """
    for name, value in state.items():
        if not isinstance(name, str) or not (isinstance(value, torch.Tensor) or is_extra(name)):
            raise InputError(f"checkpoint {source}: expected tensors by name, got a {type(value).__name__}")
    whole = model.state_dict()
    # Prefixes are removed on both sides, so that a wrapped model can load its own checkpoint.
    own, given = without_prefixes(whole), without_prefixes(state)
    wrapper = next(iter(whole), "").removesuffix(next(iter(own), ""))
    tensors = _tensors(own)
    optional = _optional(own, given)
    misfit = _misfit(own, given, optional, source)
    try:
        converted, rounded = _converted(tensors, given, source)
    except InputError as error:
        raise InputError(misfit or str(error)) from None
    ready: State = OrderedDict((wrapper + name, own[name]) for name in optional)
    ready.update((wrapper + name, value) for name, value in converted.items())
    versions = {(wrapper + name).removesuffix("."): v for name, v in getattr(given, "_metadata", {}).items()}
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    try:
        # Also if names do not fit: the model's hooks may rename them.
        left = model.load_state_dict(with_versions(ready, versions), strict=False)
        fault = misfit if left.missing_keys or left.unexpected_keys else ""
        broken = [name for name, tensor in tensors.items() if misfit and not tensor.isfinite().all()]
        if broken:
            fault = f"checkpoint {source} holds numbers that are not finite in {listed(broken)}"
    except Exception as error:  # torch's about shapes, or any of the user's hooks
        fault = misfit or f"checkpoint {source}: loading it into the model raised {user_code.describe(error)}"
    if fault:
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(before[name])
        raise InputError(fault)
    if rounded:
        log.warning(
            "checkpoint %s holds more digits than the network's %s, to which it is rounded, in %s; --precision float64 "
            "keeps them",
            source, _name(_main_dtype(tensors)), listed(rounded),
        )  # fmt: skip


def _tensors(own: State) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in own.items() if isinstance(tensor, torch.Tensor)}


def _main_dtype(tensors: Mapping[str, torch.Tensor]) -> torch.dtype:
    return next((t.dtype for t in tensors.values() if t.is_floating_point()), torch.float32)


def _optional(own: State, given: State) -> list[str]:
    """Return the entries of the network that a checkpoint may lack."""
    tensors = _tensors(own)
    filled = {_memory_of(tensors[name]) for name in given if name in tensors}
    return [
        name
        for name, tensor in tensors.items()
        if name not in given and (_memory_of(tensor) in filled or name.endswith("num_batches_tracked"))
    ]


def _memory_of(tensor: torch.Tensor) -> tuple[int, torch.Size]:
    """Return address and shape of a tensor, which are equal for all its names."""
    return tensor.data_ptr(), tensor.shape


def _misfit(own: State, given: State, optional: Iterable[str], source: str) -> str:
    """Return how names and shapes differ from those of the network, and a possible cause; empty if they do not."""
    missing = [name for name in own if name not in given and name not in set(optional)]
    unexpected = [name for name in given if name not in own]
    misshapen = [
        f"{name} {tuple(value.shape)} instead of {tuple(own[name].shape)}"
        for name, value in given.items()
        if name in own and isinstance(value, torch.Tensor) and value.shape != getattr(own[name], "shape", None)
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
    faults = [f"{len(entries)} {kind}: {listed(entries)}" for kind, entries in kinds if entries]
    if not faults:
        return ""
    return f"checkpoint {source} does not fit the model: {'; '.join(faults)}; {_remedy(own, given, source)}"


def _remedy(own: State, given: State, source: str) -> str:
    """Return a possible cause of names that do not fit, or a remedy."""
    names = set(own)
    prefix = _common_prefix(given)
    if prefix and {name.removeprefix(prefix) for name in given} & names:
        return f"all its names begin with {prefix!r}: save it with name.removeprefix({prefix!r}) as names"
    prefix = _common_prefix(own)
    if prefix and {prefix + name for name in given} & names:
        return f"all names of the model begin with {prefix!r}, its do not: save it with {prefix!r} before each name"
    for part in PREFIXES:
        if any(part in name for name in given) and {name.replace(part, "") for name in given} == names:
            return (
                f"a wrapper around a part left {part!r} in its names: save it with name.replace({part!r}, '') as names"
            )
    if SHARD.search(source):
        return (
            "it is one of several files (shards): give their index, such as model.safetensors.index.json, or load them "
            "all, join them into one dict and save that"
        )
    if inside := _inside(own, given):
        return inside
    if not names & set(given):
        return "it is of another network, or of one whose entries have other names; check --model"
    return "check --model and --model-arg (such as num_classes, shortcut)"


def _inside(own: State, given: State) -> str:
    """Return the options that select the network in a checkpoint that holds it beside others; "" if none do."""
    first = next(iter(own), "")
    needed = own.keys() - set(_optional(own, OrderedDict()))
    tops = {_top(name, "") for name in own}
    prefixes = (name.removesuffix(first) for name in given if f".{name}".endswith(f".{first}"))
    for prefix in islice(prefixes, MOST_PREFIXES):
        if not all(prefix + name in given for name in needed):
            continue
        others = {_top(name, prefix) for name in given if name.removeprefix(prefix) not in own}
        if others.isdisjoint(prefix + top for top in tops):  # else it is a larger network
            ignore = [f"--checkpoint-ignore '{shown(other)}*'" for other in sorted(others)]
            strip = [f"--checkpoint-prefix {shown(prefix)}"] if prefix else []
            return f"it holds the network beside others: give {listed([*strip, *ignore], separator=' ')}"
    return ""


def _top(name: str, prefix: str) -> str:
    """Return the first part of a name, after ``prefix`` if it begins with that, with a dot if more follows."""
    start = len(prefix) if name.startswith(prefix) else 0
    part, dot, _ = name[start:].partition(".")
    return name[:start] + part + dot


def _common_prefix(state: State) -> str:
    """Return the longest prefix of all names that ends with a dot; empty if there is none."""
    return next(reversed(common_prefixes(state)), "")


def _converted(tensors: Mapping[str, torch.Tensor], given: State, source: str) -> tuple[State, list[str]]:
    """Return the given tensors in the dtypes of the network, on the CPU, and the names of those that lose digits.

    Raises:
        InputError: A number is not finite, or the network's dtype cannot hold it.
    """
    main = _main_dtype(tensors)
    converted: State = OrderedDict()
    faults: list[str] = []
    broken: list[str] = []
    large: list[str] = []
    rounded: list[str] = []
    for name, value in given.items():
        if not isinstance(value, torch.Tensor):
            converted[name] = value
            continue
        number = value.detach()
        if name not in tensors or value.shape != tensors[name].shape:  # kept for the model's hooks
            converted[name] = number
            if number.dtype == torch.float64 != main:
                rounded.append(name)
            continue
        number = number if number.is_meta else number.cpu()
        try:
            converted[name] = cast(number, tensors[name].dtype)
        except ValueError as error:
            faults.append(f"{name} {error}")
            continue
        if not converted[name].isfinite().all():
            (large if number.isfinite().all() else broken).append(name)
        elif loses_digits(number, converted[name]):
            rounded.append(name)
    if faults:
        raise InputError(f"checkpoint {source} does not fit the model: {listed(faults, separator='; ')}")
    if broken:
        raise InputError(
            f"checkpoint {source} holds numbers that are not finite in {listed(broken)}; did its training diverge?"
        )
    if large:
        raise InputError(
            f"checkpoint {source} holds numbers too large for the network's {_name(main)} in {listed(large)}; give "
            "--precision float64"
        )
    return converted, rounded


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
