"""Files of tasks: read, checked, split, compared and registered.

file --load--> tasks --split--> train, validation, test and a lock file
                 |--duplicates--> findings
file --register--> data:NAME@VERSION
"""

from turnwright.datasets.duplicates import find_duplicates
from turnwright.datasets.load import Scan, load_tasks, scan
from turnwright.datasets.lock import LOCK_NAME, SplitLock, find_changes, read_lock, require_trainable
from turnwright.datasets.register import Entry, list_entries, locate, register, resolve
from turnwright.datasets.split import split_tasks, write_split

__all__ = [
    "LOCK_NAME",
    "Entry",
    "Scan",
    "SplitLock",
    "find_changes",
    "find_duplicates",
    "list_entries",
    "load_tasks",
    "locate",
    "read_lock",
    "register",
    "require_trainable",
    "resolve",
    "scan",
    "split_tasks",
    "write_split",
]
