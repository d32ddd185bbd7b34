"""The networks lossgrid knows, a user's own, and their checkpoints."""

from lossgrid.models.checkpoint import load_state, read_checkpoint
from lossgrid.models.registry import build, names

__all__ = ["build", "load_state", "names", "read_checkpoint"]
