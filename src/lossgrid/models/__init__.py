"""Networks, built-in and of users, and their checkpoints."""

from lossgrid.models.checkpoint import read_checkpoint
from lossgrid.models.module import check_module, copy_of
from lossgrid.models.registry import build, names
from lossgrid.models.state import is_extra, load_state

__all__ = ["build", "check_module", "copy_of", "is_extra", "load_state", "names", "read_checkpoint"]
