"""State dicts: loading one into a network, completely or not at all."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from lossgrid import user_code
from lossgrid.errors import InputError
from lossgrid.models.cast import cast, loses_digits

log = logging.getLogger(__name__)

PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
EXTRA = "_extra_state"  # torch's name for the result of a module's get_extra_state
SHARD = re.compile(r"\d+-of-0*(?!1\D)\d+")  # model-00001-of-00002.safetensors
NAMED = 4  # entries of each kind that an error lists

State = OrderedDict[str, Any]  # tensors, and extra state of modules, of any type


def is_extra(name: str) -> bool:
    """Return whether an entry is the extra state of a module; it can have any type and never moves."""
    return name.rpartition(".")[2] == EXTRA


def without_prefixes(state: Mapping[str, Any]) -> State:
    """Return the state without the prefixes that wrappers put before every name."""
    bare: State = OrderedDict(state)
    versions = getattr(state, "_metadata", None)
    for prefix in PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            bare = OrderedDict((name.removeprefix(prefix), value) for name, value in state.items())
            if versions is not None:
                known = {k: v for k, v in versions.items() if f"{k}.".startswith(prefix)}
                versions = {f"{k}."[len(prefix) :].removesuffix("."): v for k, v in known.items()}
            return without_prefixes(_with(bare, versions))
    return _with(bare, versions)


def _with(state: State, versions: Any) -> State:
    if versions is not None:
        state._metadata = versions  # type: ignore[attr-defined]
    return state


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
    tensors = {name: tensor for name, tensor in own.items() if isinstance(tensor, torch.Tensor)}
    filled = {_memory_of(tensors[name]) for name in given if name in tensors}
    optional = [
        name
        for name, tensor in tensors.items()
        if name not in given and (_memory_of(tensor) in filled or name.endswith("num_batches_tracked"))
    ]
    misfit = _misfit(own, given, optional, source)
    try:
        converted = _converted(tensors, given, source)
    except InputError as error:
        raise InputError(misfit or str(error)) from None
    ready: State = OrderedDict((wrapper + name, own[name]) for name in optional)
    ready.update((wrapper + name, value) for name, value in converted.items())
    versions = {(wrapper + name).removesuffix("."): v for name, v in getattr(given, "_metadata", {}).items()}
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    try:
        # Also if names do not fit: the model's hooks may rename them.
        left = model.load_state_dict(_with(ready, versions), strict=False)
        fault = misfit if left.missing_keys or left.unexpected_keys else ""
        broken = [name for name, tensor in tensors.items() if misfit and not tensor.isfinite().all()]
        if broken:
            fault = f"checkpoint {source} holds numbers that are not finite in {_list(broken)}"
    except Exception as error:  # torch's about shapes, or any of the user's hooks
        fault = misfit or f"checkpoint {source}: loading it into the model raised {user_code.describe(error)}"
    if fault:
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(before[name])
        raise InputError(fault)


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
    faults = [f"{len(entries)} {kind}: {_list(entries)}" for kind, entries in kinds if entries]
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
        return "it is one of several files (shards): load them all, join them into one dict and save that"
    if not names & set(given):
        return "it is of another network, or of one whose entries have other names; check --model"
    return "check --model and --model-arg (such as num_classes, shortcut)"


def _common_prefix(state: State) -> str:
    """Return the longest prefix of all names that ends with a dot; empty if there is none."""
    first, _, _ = next(iter(state), "").partition(".")
    prefix = f"{first}."
    while state and all(name.startswith(prefix) for name in state):
        rest = next(iter(state))[len(prefix) :].partition(".")
        if not rest[1] or not all(name.startswith(f"{prefix}{rest[0]}.") for name in state):
            return prefix
        prefix += f"{rest[0]}."
    return ""


def _converted(tensors: Mapping[str, torch.Tensor], given: State, source: str) -> State:
    """Return the given tensors in the dtypes of the network, on the CPU.

    Raises:
        InputError: A number is not finite, or the network's dtype cannot hold it.
    """
    main = next((t.dtype for t in tensors.values() if t.is_floating_point()), torch.float32)
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
        raise InputError(f"checkpoint {source} does not fit the model: {_list(faults, separator='; ')}")
    if broken:
        raise InputError(
            f"checkpoint {source} holds numbers that are not finite in {_list(broken)}; did its training diverge?"
        )
    if large:
        raise InputError(
            f"checkpoint {source} holds numbers too large for the network's {_name(main)} in {_list(large)}; give "
            "--precision float64"
        )
    if rounded:
        log.warning(
            "checkpoint %s holds more digits than the network's %s, to which it is rounded, in %s; --precision float64 "
            "keeps them",
            source, _name(main), _list(rounded),
        )  # fmt: skip
    return converted


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _list(entries: Iterable[str], *, separator: str = ", ") -> str:
    """Return the first ``NAMED`` entries as text, and the number of all others."""
    every = list(entries)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return separator.join(every[:NAMED]) + more
