"""lossgrid: loss surfaces L(theta* + alpha delta + beta eta) of trained networks, computed by MPI ranks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossgrid.api import evaluate, open
    from lossgrid.surface import Surface

__all__ = ["Surface", "evaluate", "open"]


def __getattr__(name: str) -> Any:
    """Return an attribute, loaded on first use: importing lossgrid must not load torch, start MPI or need a display."""
    if name == "Surface":
        from lossgrid.surface import Surface

        return Surface
    if name in ("evaluate", "open"):
        from lossgrid import api

        return getattr(api, name)
    raise AttributeError(f"module 'lossgrid' has no attribute {name!r}")
