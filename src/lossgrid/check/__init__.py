"""``lossgrid check`` and ``lossgrid run --dry-run``: facts, problems that can be found from inside, a forecast."""

from lossgrid.check.installation import check_installation
from lossgrid.check.rehearsal import dry_run

__all__ = ["check_installation", "dry_run"]
