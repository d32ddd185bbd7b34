"""Names of the entries of a state dict: what wrappers put before and inside them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lossgrid import errors

PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
PARTS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")  # of wrappers around a part
AVERAGED = "n_averaged"  # the counter of torch's AveragedModel
DEEPEST = 20  # modules in a prefix; a hostile name has millions
EXTRA = "_extra_state"  # torch's name for the result of a module's get_extra_state

NAMED = 4  # entries of each kind that an error lists

State = OrderedDict[str, Any]  # tensors, and extra state of modules, of any type


def is_extra(name: str) -> bool:
    """Return whether an entry is the extra state of a module; it can have any type and never moves."""
    return name.rpartition(".")[2] == EXTRA


def with_versions(state: State, versions: Any) -> State:
    """Return the state, with the versions of its modules where there are some; torch's loading hooks read them."""
    if versions is not None:
        state._metadata = versions  # type: ignore[attr-defined]
    return state


def without_prefixes(state: Mapping[str, Any]) -> State:
    """Return the state without the prefixes that wrappers put before every name."""
    bare = with_versions(OrderedDict(state), getattr(state, "_metadata", None))
    for _ in range(DEEPEST):
        found = (prefix for prefix in PREFIXES if bare and all(name.startswith(prefix) for name in bare))
        if (prefix := next(found, None)) is None:
            break
        bare = without_prefix(bare, prefix)
    return bare


def without_prefix(state: Mapping[str, Any], prefix: str) -> State:
    """Return the state without a prefix, which ends with a dot, of its names; other names stay.

    The versions of modules outside ``prefix`` are left out.
    """
    bare: State = OrderedDict((name.removeprefix(prefix), value) for name, value in state.items())
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        known = {k: v for k, v in versions.items() if f"{k}.".startswith(prefix)}
        versions = {f"{k}."[len(prefix) :].removesuffix("."): v for k, v in known.items()}
    return with_versions(bare, versions)


def candidates(state: Mapping[str, Any]) -> Iterator[tuple[str, State]]:
    """Yield the state under other names, each after what was removed: first what wrappers add, then a common prefix."""
    for about, bare in _unwrapped(state):
        for prefix in ("", *common_prefixes(bare)):
            if about or prefix:
                removed = [f"the prefix {prefix!r}"] if prefix else []
                yield " and ".join([*removed, *about]), without_prefix(bare, prefix) if prefix else bare


def common_prefixes(state: Mapping[str, Any]) -> list[str]:
    """Return the prefixes of all names that end with a dot, the shortest first.

    >>> common_prefixes({"net.inner.weight": 0, "net.inner.bias": 0})
    ['net.', 'net.inner.']
    """
    modules = next(iter(state), "").split(".", DEEPEST)[:-1]
    found: list[str] = []
    for i in range(len(modules)):
        prefix = "".join(f"{module}." for module in modules[: i + 1])
        if not all(name.startswith(prefix) for name in state):
            break
        found.append(prefix)
    return found


def _unwrapped(state: Mapping[str, Any]) -> Iterator[tuple[list[str], State]]:
    """Yield the state without what wrappers add, each after what was removed; the state itself first."""
    versions = getattr(state, "_metadata", None)
    starts: list[tuple[list[str], State]] = [([], with_versions(OrderedDict(state), versions))]
    if AVERAGED in state:
        rest = OrderedDict((name, value) for name, value in state.items() if name != AVERAGED)
        starts.append(([f"the entry {AVERAGED!r}"], with_versions(rest, versions)))
    for about, start in starts:
        yield about, start
        present = [part for part in PARTS if any(f".{part}." in f".{name}" for name in start)]
        for parts in [*([part] for part in present), *([present] if len(present) > 1 else [])]:
            bare = _without_parts(start, parts)
            if len(bare) == len(start):  # else two entries have got one name
                yield [*about, f"{', '.join(repr(f'{part}.') for part in parts)} inside names"], bare


def _without_parts(state: State, parts: list[str]) -> State:
    def bare(name: str) -> str:
        return ".".join(part for part in name.split(".") if part not in parts)

    versions = getattr(state, "_metadata", None)
    if versions is not None:  # of a wrapper and of the module in it, the module's comes last and stays
        versions = {bare(name): version for name, version in versions.items()}
    return with_versions(OrderedDict((bare(name), value) for name, value in state.items()), versions)


def listed(names: Iterable[str], *, separator: str = ", ") -> str:
    """Return the first ``NAMED`` names as text, and the number of all others."""
    return errors.listed(names, NAMED, separator=separator)
