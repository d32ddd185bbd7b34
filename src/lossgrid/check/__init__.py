"""``lossgrid check``: what this installation can do, and what is wrong with it as far as it can be seen from inside."""

from lossgrid.check.installation import check_installation

__all__ = ["check_installation"]
