"""Writes the recordings of the suite's recorded environments, by asking the functions their files name as LIVE.

    python tests/audit/independent/write_recordings.py

An environment file that stands on recordings says what was asked, in CALLS: pairs of a tool and its arguments.
"""

import asyncio
import sys
from importlib import util
from pathlib import Path
from types import ModuleType

from turnwright.environments.recorded.capture import Recorder
from turnwright.environments.recorded.sources import Functions

ENVIRONMENTS = Path(__file__).parent / "environments"


def load(path: Path) -> ModuleType:
    """Import an environment's file under a name of its own."""
    spec = util.spec_from_file_location(f"independent_{path.stem}", path)
    assert spec
    assert spec.loader
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def recorded_files() -> list[Path]:
    """Return the files of the recorded environments."""
    return [path for path in sorted(ENVIRONMENTS.glob("*.py")) if "\nLIVE = " in path.read_text(encoding="utf-8")]


async def record(module: ModuleType, path: Path) -> None:
    """Ask everything a module lists and write the answers."""
    with Recorder(path, Functions(*module.LIVE)) as recorder:
        for tool, arguments in module.CALLS:
            await recorder.record(tool, arguments)


if __name__ == "__main__":
    for source in recorded_files():
        target = ENVIRONMENTS / "recordings" / f"{source.stem}.jsonl"
        target.unlink(missing_ok=True)
        target.parent.mkdir(exist_ok=True)
        asyncio.run(record(load(source), target))
