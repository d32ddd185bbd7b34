"""Networks by name, of a library as ``timm:NAME``, or a user's as ``package.module:factory``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from lossgrid import user_code
from lossgrid.errors import InputError, did_you_mean
from lossgrid.models.densenet import DenseNet
from lossgrid.models.libraries import LIBRARIES, build_of_library
from lossgrid.models.mlp import MLP
from lossgrid.models.resnet import IMAGENET, ResNet, cifar_resnet, imagenet_resnet
from lossgrid.models.vgg import VGG

Factory = Callable[..., nn.Module]
CIFAR_DEPTHS = (20, 32, 44, 56, 110)
WIDE_DEPTHS = (56, 110)
WIDTHS = (2, 4, 8)
COUNTS = ("in_channels", "in_features", "num_classes")
SHOWN = 6  # names an error lists


def _resnets(name: str, make: Callable[..., ResNet], *fixed: int, **widen: int) -> dict[str, Factory]:
    """Return two factories: of a network with shortcuts of the user's choice, and of one without shortcuts."""

    def with_shortcuts(in_channels: int = 3, num_classes: int = 10, shortcut: str = "projection") -> nn.Module:
        return make(*fixed, in_channels=in_channels, num_classes=num_classes, shortcut=shortcut, **widen)

    def without_shortcuts(in_channels: int = 3, num_classes: int = 10) -> nn.Module:
        return make(*fixed, in_channels=in_channels, num_classes=num_classes, shortcut="none", **widen)

    return {name: with_shortcuts, f"{name}_noshort": without_shortcuts}


def _registry() -> dict[str, Factory]:
    factories: dict[str, Factory] = {"mlp": MLP, "vgg9": VGG}
    for depth in CIFAR_DEPTHS:
        factories |= _resnets(f"resnet{depth}", cifar_resnet, depth)
    for depth in WIDE_DEPTHS:
        for widen in WIDTHS:
            factories |= _resnets(f"wrn{depth}_{widen}", cifar_resnet, depth, widen=widen)
    for depth in IMAGENET:
        factories |= _resnets(f"resnet{depth}", imagenet_resnet, depth)
    return factories | {"densenet121": DenseNet}


REGISTRY = _registry()


def names() -> list[str]:
    """Return the names of the built-in networks."""
    return list(REGISTRY)


def build(name: str, args: Mapping[str, Any], *, facts: Mapping[str, int]) -> nn.Module:
    """Return a new network.

    Args:
        name: A built-in network, ``LIBRARY:NAME`` of :mod:`lossgrid.models.libraries`, or ``package.module:factory``.
        args: The user's arguments of its factory.
        facts: Arguments known from the data (``in_channels``, ``in_features``, ``num_classes``). The factory gets those
            that its signature names and ``args`` lacks.

    Raises:
        InputError: The name or an argument is unknown, an argument is wrong, or the factory raises or returns no
            ``torch.nn.Module``.
    """
    if (found := build_of_library(name, args, facts)) is not None:
        return found
    factory = user_code.load(name, role="model factory") if user_code.is_reference(name) else _built_in(name)
    try:
        parameters = dict(inspect.signature(factory).parameters)
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    except (TypeError, ValueError):  # callables of extension modules may have no signature
        parameters, takes_any = {}, True
    for key in args:
        if key not in parameters and not takes_any:
            raise InputError(f"--model-arg: {name} takes {', '.join(parameters) or 'no arguments'}, got {key!r}")
    given = {key: value for key, value in facts.items() if key in parameters} | dict(args)
    if not user_code.is_reference(name):
        _check_counts(given)
    model = user_code.call(factory, name=name, role="model", **given)
    if not isinstance(model, nn.Module):
        raise InputError(f"model factory {name}: expected a torch.nn.Module, got {type(model).__name__}")
    return model


def _check_counts(given: Mapping[str, Any]) -> None:
    for key in COUNTS:
        if key in given and (type(given[key]) is not int or given[key] < 1):
            raise InputError(f"--model-arg: {key} must be a positive whole number, got {given[key]!r}")


def _built_in(name: str) -> Factory:
    if name in REGISTRY:
        return REGISTRY[name]
    some = f"; there are {', '.join(names()[:SHOWN])} and {len(REGISTRY) - SHOWN} more."
    hint = did_you_mean(name, REGISTRY, most=3) or some
    raise InputError(
        f"--model: unknown model {name!r}{hint} Others go as "
        f"{', '.join(f'{library}:NAME' for library in LIBRARIES)} or package.module:factory"
    )
