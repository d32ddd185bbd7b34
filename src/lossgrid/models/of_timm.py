"""Networks of timm (https://github.com/huggingface/pytorch-image-models), without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from lossgrid import user_code
from lossgrid.errors import InputError, did_you_mean, shown
from lossgrid.machine.packages import load_package

# timm's name of each fact of the data.
FACTS = {"num_classes": "num_classes", "in_channels": "in_chans"}
WEIGHTS = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")


def build(name: str, args: Mapping[str, Any], facts: Mapping[str, int]) -> nn.Module:
    """Return ``timm.create_model(name)`` with random weights.

    Args:
        name: Its name in timm.
        args: Further arguments of ``create_model``.
        facts: ``num_classes`` and ``in_channels`` of the data, where known.

    Raises:
        InputError: timm is not installed, has no such network, or refuses an argument.
    """
    timm = load_package("timm", needed_by="--model timm", extra="vision")
    refuse_weights(f"timm:{name}", args, WEIGHTS, save="timm.create_model(NAME, pretrained=True)")
    if ":" in name or "/" in name or not timm.is_model(name):
        raise InputError(
            f"--model timm:NAME: timm {timm.__version__} has no network {shown(repr(name))}"
            f"{did_you_mean(name, timm.list_models(), most=3)}"
        )
    given = {FACTS[key]: value for key, value in facts.items() if key in FACTS} | dict(args)

    def create() -> Any:
        return timm.create_model(name, pretrained=False, **given)

    return check_network(user_code.call(create, name=f"timm:{name}", role="model"), f"timm:{name}")


def refuse_weights(model: str, args: Mapping[str, Any], names: tuple[str, ...], *, save: str) -> None:
    """Refuse arguments that load or download weights.

    Args:
        model: The network, for the error.
        args: The user's arguments.
        names: The arguments that are refused.
        save: The expression of Python that returns the network with its weights.

    Raises:
        InputError: One of ``names`` is given.
    """
    for key in args:
        if key in names:
            raise InputError(
                f"--model-arg {key}: {model} gets no weights by it, as lossgrid downloads nothing; save them with "
                f"torch.save({save}.state_dict(), FILE), and give --checkpoint FILE"
            )


def check_network(built: Any, model: str) -> nn.Module:
    """Return what a library built if it is a network.

    Raises:
        InputError: It is something else.
    """
    if not isinstance(built, nn.Module):
        raise InputError(f"--model {model}: expected a torch.nn.Module, got {type(built).__name__}")
    return built
