"""``lossgrid check``: the facts of this installation, and the problems that can be found from inside."""

from lossgrid.check.installation import check_installation

__all__ = ["check_installation"]
