"""The run directory is the database: where everything lies, one writer, any number of readers."""

from turnwright.rundir.catalog import RunSummary, find_run, list_runs, prunable, prune, summarise
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.manifest import collect_manifest
from turnwright.rundir.naming import free_run_name
from turnwright.rundir.reader import RunReader
from turnwright.rundir.records import Manifest, Phase, Status
from turnwright.rundir.writer import RunWriter

__all__ = [
    "Manifest",
    "Phase",
    "RunLayout",
    "RunReader",
    "RunSummary",
    "RunWriter",
    "Status",
    "collect_manifest",
    "find_run",
    "free_run_name",
    "list_runs",
    "prunable",
    "prune",
    "summarise",
]
