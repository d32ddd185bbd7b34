"""The process-wide settings of torch that decide the arithmetic: set, checked, recorded, restored.

A network's module, or a library it imports, may allow TF32 or bfloat16 inside float32. It may also let cuDNN choose
algorithms by timing. Therefore the settings are set after the import of the user's modules and checked before the first
point. Only torch's newer switches (``fp32_precision``) are read. The older ones raise an error where both kinds are in
use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from lossgrid.errors import InputError

Settings = dict[str, Any]

# Names in torch.backends of the operations in which torch may replace float32 by another format.
ON_CUDA = ("cuda.matmul", "cudnn.conv", "cudnn.rnn")
ON_CPU = ("mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")


def wanted(precision: str) -> Settings:
    """Return the settings of a run in ``precision``, by name.

    ``ieee`` is float32 itself. cuDNN may not time algorithms: the fastest one can differ between ranks.
    """
    on_cuda = "tf32" if precision == "tf32" else "ieee"
    return {
        **dict.fromkeys(ON_CUDA, on_cuda),
        **dict.fromkeys(ON_CPU, "ieee"),
        "cudnn.benchmark": False,
        "cudnn.deterministic": True,
    }


def current() -> Settings:
    """Return the present settings, by the names of :func:`wanted`."""
    backends: Any = torch.backends
    return {
        **{name: _operation(name).fp32_precision for name in (*ON_CUDA, *ON_CPU)},
        "cudnn.benchmark": backends.cudnn.benchmark,
        "cudnn.deterministic": backends.cudnn.deterministic,
    }


def set_to(settings: Mapping[str, Any]) -> None:
    """Apply ``settings`` to torch."""
    # The older switch comes first: it also sets some of the newer ones, and both must agree.
    torch.set_float32_matmul_precision("high" if settings["cuda.matmul"] == "tf32" else "highest")
    for name in (*ON_CUDA, *ON_CPU):
        _operation(name).fp32_precision = settings[name]
    torch.backends.cudnn.benchmark = settings["cudnn.benchmark"]
    torch.backends.cudnn.deterministic = settings["cudnn.deterministic"]


def _operation(name: str) -> Any:
    library, operation = name.split(".")
    return getattr(getattr(torch.backends, library), operation)


def refuse_other_arithmetic(precision: str) -> None:
    """Raise InputError if the settings of torch are no longer those of ``precision``.

    Raises:
        InputError: A setting has changed; the text names it.
    """
    now = current()
    asked = wanted(precision)
    changed = [f"{name} is {now[name]}, not {value}" for name, value in asked.items() if now[name] != value]
    if changed:
        raise InputError(
            f"--precision {precision}: the network or a module it imports changes how torch computes "
            f"({', '.join(changed)}); take that out of its code"
        )


@contextmanager
def restored() -> Iterator[None]:
    """Restore the settings, the number of threads and the current CUDA device at the end of the block."""
    before, threads = current(), torch.get_num_threads()
    device = torch.cuda.current_device() if torch.cuda.is_available() else None
    try:
        yield
    finally:
        set_to(before)
        torch.set_num_threads(threads)
        if device is not None:
            torch.cuda.set_device(device)


@contextmanager
def in_float32() -> Iterator[None]:
    """Use float32 itself, without TF32, inside the block."""
    before = current()
    set_to(wanted("float32"))
    try:
        yield
    finally:
        set_to(before)
