"""lossgrid: loss surfaces L(theta* + alpha delta + beta eta) of trained networks, computed by MPI ranks."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lossgrid.errors import InputError, RankError

if TYPE_CHECKING:
    from lossgrid import numbers, plot
    from lossgrid.api.comparison import compare
    from lossgrid.api.compute import evaluate
    from lossgrid.api.live import watch
    from lossgrid.api.surface import Surface
    from lossgrid.api.surface import open as open  # public, though not in __all__

# Without "open": `from lossgrid import *` must not replace Python's own.
__all__ = ["InputError", "RankError", "Surface", "compare", "evaluate", "numbers", "plot", "watch"]

_MODULE_OF = {
    "Surface": "surface",
    "compare": "comparison",
    "evaluate": "compute",
    "open": "surface",
    "watch": "live",
}
_MODULES = ("numbers", "plot")


def __getattr__(name: str) -> Any:
    """Return an attribute, loaded on first use: importing lossgrid must not load torch, start MPI or need a display."""
    if name in _MODULES:
        return import_module(f"lossgrid.{name}")
    if name in _MODULE_OF:
        return getattr(import_module(f"lossgrid.api.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'lossgrid' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, for completion, and those of every module."""
    return sorted({*__all__, *_MODULE_OF, *(name for name in globals() if name.startswith("__"))})
