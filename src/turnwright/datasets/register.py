"""The register: files of tasks that never change, each version named by its content.

    <root>/<name>/<version>/content/<file>    the file, read-only
    <root>/<name>/<version>/entry.json        what is known about it

The version is the beginning of the file's SHA-256, so that it is the same on every machine. A version is made in a
temporary folder and renamed: it is there whole or not at all. Root is TURNWRIGHT_DATA or ~/.turnwright/data.
"""

import json
import os
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from turnwright.core.errors import DatasetError
from turnwright.datasets.load import scan, usable
from turnwright.datasets.rows import hash_file

PREFIX = "data:"
VERSION_DIGITS = 12
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ENTRY = "entry.json"
_CONTENT = "content"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One version of a registered file."""

    name: str
    version: str
    file: str
    """Name of the file."""
    hash: str
    """SHA-256 of the file."""
    rows: int
    size_bytes: int
    registered: str
    """When, in UTC."""

    @property
    def reference(self) -> str:
        """How a run names it."""
        return f"{PREFIX}{self.name}@{self.version}"


def default_root() -> Path:
    """Return the folder of the register: TURNWRIGHT_DATA, or ~/.turnwright/data."""
    given = os.environ.get("TURNWRIGHT_DATA")
    return Path(given) if given else Path.home() / ".turnwright" / "data"


def register(name: str, path: Path, *, root: Path | None = None) -> Entry:
    """Copy a file into the register and return its version; a version that is there already is left alone.

    Raises DatasetError when the name cannot be one or the file has an error.
    """
    if not _NAME.fullmatch(name):
        raise DatasetError(f"{name!r} cannot name data: expected letters, digits, '.', '_' and '-', such as orders-v2")
    if not path.is_file():
        raise DatasetError(f"there is no file {path.resolve()}: check the path")
    home = root or default_root()
    home.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=home))
    try:
        entry = _make(name, path, making)
        version = home / name / entry.version
        if not version.exists():
            version.parent.mkdir(exist_ok=True)
            making.chmod(0o755)
            _publish(making, version)
        return _read_entry(version)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def resolve(reference: str, *, root: Path | None = None) -> Path:
    """Return the file that ``data:NAME@VERSION`` names.

    Raises DatasetError when there is no such version, or when its file is no longer what was registered.
    """
    name, at, version = reference.removeprefix(PREFIX).partition("@")
    if not reference.startswith(PREFIX) or not _NAME.fullmatch(name):
        raise DatasetError(f"{reference!r} names no registered data: expected data:NAME@VERSION")
    home = root or default_root()
    known = _entries(home, name)
    entry = next((entry for entry in known if at and entry.version == version), None)
    if entry is None:
        there = ", ".join(entry.reference for entry in known) or "no version of it"
        raise DatasetError(
            f"{reference!r} is not in {home}: there is {there}; `turnwright data register {name} PATH` adds one"
        )
    path = home / name / version / _CONTENT / entry.file
    if not path.is_file() or hash_file(path) != entry.hash:
        raise DatasetError(
            f"{path} is missing or was changed: remove the folder {path.parents[1]} and register it again"
        )
    return path


def locate(name: str) -> Path:
    """Return the file that a path or ``data:NAME@VERSION`` names; whether a path exists is not looked at."""
    return resolve(name) if name.startswith(PREFIX) else Path(name)


def list_entries(*, root: Path | None = None) -> tuple[Entry, ...]:
    """Return all versions, by name, oldest first."""
    return _entries(root or default_root(), "*")


def _entries(home: Path, name: str) -> tuple[Entry, ...]:
    found = [_read_entry(path.parent) for path in home.glob(f"{name}/*/{_ENTRY}")]
    return tuple(sorted(found, key=lambda entry: (entry.name, entry.registered, entry.version)))


def _publish(folder: Path, version: Path) -> None:
    try:
        folder.rename(version)
    except OSError:
        # Another process was first: its version has the same content.
        if not version.exists():
            raise


def _read_entry(folder: Path) -> Entry:
    try:
        return Entry(**json.loads((folder / _ENTRY).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(f"{folder} is no version of registered data ({error}): remove it") from error


def _make(name: str, path: Path, folder: Path) -> Entry:
    # The copy is what is checked and hashed: the original may change meanwhile.
    copied = folder / _CONTENT / path.name
    copied.parent.mkdir()
    shutil.copyfile(path, copied)
    try:
        rows = len(usable(scan(copied)).tasks)
    except DatasetError as error:
        raise DatasetError(str(error).replace(str(copied), str(path))) from error
    digest = hash_file(copied)
    entry = Entry(
        name=name,
        version=digest[:VERSION_DIGITS],
        file=path.name,
        hash=digest,
        rows=rows,
        size_bytes=copied.stat().st_size,
        registered=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    copied.chmod(0o444)
    (folder / _ENTRY).write_text(json.dumps(asdict(entry), indent=2) + "\n", encoding="utf-8")
    return entry
