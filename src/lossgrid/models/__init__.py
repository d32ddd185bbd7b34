"""Networks, built-in and of users, and their checkpoints."""

from lossgrid.models.checkpoint import read_checkpoint
from lossgrid.models.layout import BY_RULE, Layout
from lossgrid.models.libraries import is_users, own_checkpoint, package_of
from lossgrid.models.module import check_module, copy_of, widened
from lossgrid.models.names import is_extra
from lossgrid.models.registry import build, names
from lossgrid.models.state import load_renamed, load_state

__all__ = [
    "BY_RULE",
    "Layout",
    "build",
    "check_module",
    "copy_of",
    "is_extra",
    "is_users",
    "load_renamed",
    "load_state",
    "names",
    "own_checkpoint",
    "package_of",
    "read_checkpoint",
    "widened",
]
