"""Files of users: names, reading, writing whole or not at all, the lock beside a file."""

from lossgrid.files.lock import in_use, lock_of, locked, refuse_ambiguous
from lossgrid.files.names import fault_of_name, kind_of
from lossgrid.files.reading import open_file, read_file
from lossgrid.files.writing import refuse_to_write, unfinished, write_whole, written_whole

__all__ = [
    "fault_of_name",
    "in_use",
    "kind_of",
    "lock_of",
    "locked",
    "open_file",
    "read_file",
    "refuse_ambiguous",
    "refuse_to_write",
    "unfinished",
    "write_whole",
    "written_whole",
]
