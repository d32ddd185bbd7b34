"""The losses with a name. To add one, write a module with its ``Loss`` and add a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lossgrid import user_code
from lossgrid.errors import InputError, did_you_mean
from lossgrid.measures.argument import checked
from lossgrid.measures.binary import BCE
from lossgrid.measures.classes import recognised
from lossgrid.measures.cross_entropy import CROSS_ENTROPY
from lossgrid.measures.labels import Labels
from lossgrid.measures.loss import Loss
from lossgrid.measures.objective import Objective
from lossgrid.measures.own_loss import of_user
from lossgrid.measures.real import HUBER, L1, MSE, POISSON_NLL, SMOOTH_L1

_OWN: tuple[Loss, ...] = (
    CROSS_ENTROPY,
    MSE,
    BCE,
    L1,
    SMOOTH_L1,
    HUBER,
    POISSON_NLL,
)
LOSSES: dict[str, Loss] = {loss.name: loss for loss in _OWN}


def make_objective(
    loss: str | Callable[..., object], *, classification: bool, arguments: Mapping[str, Any] | None = None
) -> Objective:
    """Return the objective of a split.

    Args:
        loss: A name of ``LOSSES``; ``package.module:function``; or a function ``loss(outputs, targets)``. A function
            returns a number per sample, a pair ``(total, weight)`` of the batch, or the mean over the samples of the
            batch. Its parameter ``model``, if any, gets the moving network.
        classification: Whether targets are integers; then accuracy is measured too where they are classes.
        arguments: Arguments of a built-in loss; none for a user's.

    Raises:
        InputError: The name or an argument is unknown, or the loss does not fit the targets.
    """
    given = arguments or {}
    if not isinstance(loss, str):
        return _users(loss, user_code.name_of(loss), classification, given)
    if user_code.is_reference(loss):
        return _users(user_code.load(loss, role="loss function"), loss, classification, given)
    if loss in LOSSES:
        found = LOSSES[loss]
        return found.make(checked(loss, found.arguments, given), classification)
    expected = f"{', '.join(LOSSES)} or package.module:function"
    raise InputError(f"--loss: expected {expected}, got {loss!r}{did_you_mean(loss, LOSSES)}")


def _users(function: Callable[..., object], name: str, classification: bool, arguments: Mapping[str, Any]) -> Objective:
    if arguments:
        raise InputError(
            f"--loss-arg {', '.join(arguments)}: arguments are for built-in losses, and {name} is your own; leave them "
            "out, and set them in your function"
        )
    labels = Labels() if classification else None
    return replace(of_user(function, name), labels=labels, recognised=None if labels is None else recognised(labels))
