"""The choice of entries that move: by patterns of their names, and by whether they are trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch

from lossgrid.directions.entries import can_move, states
from lossgrid.errors import InputError, did_you_mean, listed, shown

SHOWN = 4  # names that an error lists


@dataclass(frozen=True)
class Choice:
    """The entries of a network that move, as the user names them; by default all.

    Attributes:
        move: Patterns, as of ``fnmatch``, of the names of entries that move; without any all do.
        freeze: Patterns of the names of entries that do not move.
        trainable_only: Parameters with ``requires_grad=False`` do not move.
    """

    move: Sequence[str] = ()
    freeze: Sequence[str] = ()
    trainable_only: bool = False

    def __bool__(self) -> bool:
        """Return whether any entry is left out, or may be."""
        return bool(self.move or self.freeze or self.trainable_only)

    def __str__(self) -> str:
        """Return the options that are given."""
        given = {"--move": self.move, "--freeze": self.freeze, "--trainable-only": self.trainable_only}
        return " and ".join(option for option, value in given.items() if value)


def moving(model: torch.nn.Module, choice: Choice) -> frozenset[str] | None:
    """Return the names of the entries that move; None if all may.

    A tensor with several names moves if one of them is chosen; all its names are returned.

    Args:
        model: The network, with the ``requires_grad`` of its parameters as its author set them.
        choice: The entries that the user chose.

    Raises:
        InputError: A pattern matches no entry, or no entry is left.
    """
    if not choice:
        return None
    named = _names(model)
    every = [name for names in named.values() for name in names]
    for option, patterns in (("--move", choice.move), ("--freeze", choice.freeze)):
        for pattern in patterns:
            if not _matches(every, [pattern]):
                raise InputError(
                    f"{option}: no entry of the network matches {shown(repr(pattern))}{_hint(pattern, every)}"
                )
    fixed = {id(parameter) for parameter in model.parameters() if not parameter.requires_grad}
    left = [
        name
        for key, names in named.items()
        if (not choice.move or _matches(names, choice.move))
        and not _matches(names, choice.freeze)
        and not (choice.trainable_only and key in fixed)
        for name in names
    ]
    if not left:
        cause = "; requires_grad is False for all of them" if choice.trainable_only and len(fixed) == len(named) else ""
        leaves = "leave" if " and " in str(choice) else "leaves"
        raise InputError(
            f"{choice} {leaves} none of the {len(named)} entries of the network to move{cause}; choose more, such as "
            f"{shown(every[0])}"
        )
    return frozenset(left)


def without_fixed(
    direction: Mapping[str, torch.Tensor], moves: frozenset[str] | None, *, source: str
) -> dict[str, torch.Tensor]:
    """Return the direction of a user's function, after a check that it moves no other entries than the chosen ones.

    Raises:
        InputError: It moves another entry.
    """
    if moves is None:
        return dict(direction)
    others = [name for name, tensor in direction.items() if name not in moves and bool(tensor.any())]
    if others:
        raise InputError(
            f"{source} moves {listed(map(shown, others), SHOWN)}, which --move, --freeze or --trainable-only leaves "
            "out; let it return the entries of around.moves only, or leave these options out"
        )
    return {name: tensor for name, tensor in direction.items() if name in moves}


def _names(model: torch.nn.Module) -> dict[int, list[str]]:
    """Return all names of each entry that can move, by its identity; parameters first."""
    found: dict[int, list[str]] = {}
    tensors = dict(model.named_parameters(remove_duplicate=False))
    stored = states(model)
    buffers = {name: buffer for name, buffer in model.named_buffers(remove_duplicate=False) if name in stored}
    for name, tensor in {**tensors, **buffers}.items():
        if can_move(tensor):
            found.setdefault(id(tensor), []).append(name)
    return found


def _matches(names: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _hint(pattern: str, names: Sequence[str]) -> str:
    """Return similar patterns that match, or names, as the end of an error."""
    wider = (f"*{pattern}", f"{pattern}*", f"*{pattern}*")
    better = next((one for one in wider if _matches(names, [one])), None)
    if better is not None:
        return f"; did you mean {shown(repr(better))}?"
    near = did_you_mean(pattern, names, most=3, form=shown)
    return near or f"; its entries are {listed(map(shown, names), SHOWN)}"
