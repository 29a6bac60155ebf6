"""Recordings: what read-only tools answered, in one jsonl file that is only ever appended to.

    {"recordings": 1, "tools": [{"name": "get_city", "description": "...", "parameters": {...}, "schema": "5e0c..."}]}
    {"tool": "get_city", "arguments": {"order": "O3"}, "answer": "Oslo", "latency_ms": 41.2, "schema": "5e0c..."}
    {"tool": "get_city", "arguments": {"order": "O9"}, "error": "no order O9", "latency_ms": 38.0, "schema": "5e0c..."}

The first line is the header. Loaded recordings never change, so any number of episodes reads them at once.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

from turnwright.core.errors import DatasetError, EnvironmentLoadError
from turnwright.core.message import ToolSpec
from turnwright.environments.recorded.keys import canonical_arguments
from turnwright.rundir.files import read_lines

FORMAT = 1
"""Version of the file's form, in its header."""
ABSENT = object()
"""Stands for what one of two schemas does not have; null is a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What one call was answered.

    Example::

        Recording(tool="get_city", key='{"order":"O9"}', answer="no order O9", error=True, latency_ms=38.0)
    """

    tool: str
    key: str
    """Canonical arguments."""
    answer: str
    """Text of the answer, or of the error."""
    error: bool = False
    """The tool answered the agent with an error."""
    latency_ms: float = 0.0
    """Time the live tool took; a replay does not wait."""

    def agrees(self, other: "Recording") -> bool:
        """Return whether both answer the same; how long that took does not matter."""
        return (self.answer, self.error) == (other.answer, other.error)

    def __str__(self) -> str:
        """Return the call as error messages spell it."""
        return f"{self.tool}({shorten(self.key)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordings:
    """A loaded file."""

    path: Path
    specs: Mapping[str, ToolSpec]
    """The tools of the header by name, as the policy was told about them."""
    by_key: Mapping[str, Mapping[str, Recording]]
    """For each tool, its recordings by canonical arguments."""

    def find(self, tool: str, key: str) -> Recording | None:
        """Return the recording of a call; None when there is none."""
        return self.by_key[tool].get(key)

    def compare(self, specs: Iterable[ToolSpec]) -> None:
        """Ask that the header's tools are exactly ``specs``.

        Raises EnvironmentLoadError naming each difference: under another schema the answers may be others.
        """
        now = {spec.name: spec for spec in specs}
        differences: list[str] = []
        for name in sorted(now.keys() | self.specs.keys()):
            recorded, live = (_told(specs[name]) if name in specs else ABSENT for specs in (self.specs, now))
            differences += _differences(recorded, live, name)
        if differences:
            raise EnvironmentLoadError(
                f"the tools have changed since {self.path} was recorded: {'; '.join(differences)}; record into a new "
                "file, or go back to the recorded schema"
            )


def read_recordings(path: Path) -> Recordings:
    """Load a file.

    Raises DatasetError, which names the line, for what is no recording, was recorded under another schema than the
    header's, or answers a call otherwise than an earlier line.
    """
    if not path.is_file():
        raise DatasetError(f"there is no file {path.resolve()} with recordings: make it with a Recorder")
    lines = read_lines(path)
    specs = _read_header(next(lines, b""), path)
    by_key: dict[str, dict[str, Recording]] = {name: {} for name in specs}
    for number, recording in _read_body(lines, specs, path):
        first = by_key[recording.tool].setdefault(recording.key, recording)
        if not first.agrees(recording):
            raise DatasetError(
                f"{path}, line {number}: {recording} answers {shorten(recording.answer)!r}, an earlier line "
                f"{shorten(first.answer)!r}: the call cannot be replayed; keep the line that is right"
            )
    return Recordings(path=path, specs=specs, by_key=by_key)


def schema_hash(spec: ToolSpec) -> str:
    """Return 16 hex digits for everything the policy is told about a tool."""
    return blake2b(json.dumps(asdict(spec), sort_keys=True).encode(), digest_size=8).hexdigest()


def header_line(specs: Iterable[ToolSpec]) -> bytes:
    """Return the first line of a file."""
    tools = [{**asdict(spec), "schema": schema_hash(spec)} for spec in specs]
    return json.dumps({"recordings": FORMAT, "tools": tools}, ensure_ascii=False).encode()


def recording_line(recording: Recording, spec: ToolSpec) -> bytes:
    """Return the line of one recording."""
    line = {
        "tool": recording.tool,
        "arguments": json.loads(recording.key),
        "error" if recording.error else "answer": recording.answer,
        "latency_ms": round(recording.latency_ms, 3),
        "schema": schema_hash(spec),
    }
    return json.dumps(line, ensure_ascii=False).encode()


def shorten(text: str) -> str:
    """Return a text that fits into an error message."""
    return text if len(text) <= 200 else f"{text[:200]}..."


def _read_header(line: bytes, path: Path) -> dict[str, ToolSpec]:
    header = _read_object(line, f"{path}, line 1")
    tools = header.get("tools")
    if header.get("recordings") != FORMAT or not isinstance(tools, list):
        raise DatasetError(
            f"{path}, line 1 is no header: expected an object with 'recordings': {FORMAT} and a list 'tools', "
            f"got {shorten(line.decode(errors='replace'))!r}"
        )
    specs: dict[str, ToolSpec] = {}
    for told in cast("list[Any]", tools):
        if not isinstance(told, dict) or not isinstance(told.get("parameters"), dict) or not told.get("name"):
            raise DatasetError(f"{path}, line 1: expected a tool's name and parameters, got {shorten(str(told))!r}")
        spec = ToolSpec(name=told["name"], description=told.get("description", ""), parameters=told["parameters"])
        if told.get("schema") != schema_hash(spec):
            raise DatasetError(
                f"{path}, line 1: tool {spec.name!r} has schema {told.get('schema')!r}, but what is told about it "
                f"hashes to {schema_hash(spec)!r}: the header was edited; record into a new file"
            )
        specs[spec.name] = spec
    return specs


def _read_body(lines: Iterator[bytes], specs: Mapping[str, ToolSpec], path: Path) -> Iterator[tuple[int, Recording]]:
    hashes = {name: schema_hash(spec) for name, spec in specs.items()}
    for number, line in enumerate(lines, start=2):
        where = f"{path}, line {number}"
        told = _read_object(line, where)
        tool = told.get("tool")
        if not isinstance(tool, str) or tool not in specs:
            raise DatasetError(f"{where} is of tool {tool!r}: the header has {', '.join(specs) or 'none'}")
        if told.get("schema") != hashes[tool]:
            raise DatasetError(
                f"{where} was recorded under schema {told.get('schema')!r} of {tool!r}, the header has "
                f"{hashes[tool]!r}: record the call into a file of its own schema"
            )
        yield number, _read_recording(told, specs[tool], where)


def _read_recording(told: Mapping[str, Any], spec: ToolSpec, where: str) -> Recording:
    given = [name for name in ("answer", "error") if isinstance(told.get(name), str)]
    arguments, latency_ms = told.get("arguments"), told.get("latency_ms", 0.0)
    if len(given) != 1 or not isinstance(arguments, dict) or not isinstance(latency_ms, int | float):
        raise DatasetError(
            f"{where} is no recording: expected an object 'arguments', one text 'answer' or 'error', and a number "
            "'latency_ms'"
        )
    try:
        key = canonical_arguments(spec, cast("dict[str, Any]", arguments))
    except ValueError as error:
        raise DatasetError(f"{where} has arguments that are not JSON: {error}") from error
    return Recording(
        tool=spec.name, key=key, answer=told[given[0]], error=given[0] == "error", latency_ms=float(latency_ms)
    )


def _read_object(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where} is not JSON: {error}; each line of a recordings file is one object") from error
    if not isinstance(told, dict):
        raise DatasetError(f"{where} is {type(told).__name__}: each line of a recordings file is one object")
    return cast("dict[str, Any]", told)


def _told(spec: ToolSpec) -> Mapping[str, Any]:
    """Return a spec as it comes back from a file."""
    return json.loads(json.dumps(asdict(spec)))


def _differences(recorded: Any, now: Any, where: str) -> list[str]:
    """Say where two pieces of JSON part, each with its path."""
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        one, other = cast("Mapping[str, Any]", recorded), cast("Mapping[str, Any]", now)
        return [
            difference
            for name in sorted(one.keys() | other.keys())
            for difference in _differences(one.get(name, ABSENT), other.get(name, ABSENT), f"{where}.{name}")
        ]
    return [] if recorded == now else [f"{where} was {_in_words(recorded)}, is {_in_words(now)}"]


def _in_words(value: Any) -> str:
    return "absent" if value is ABSENT else shorten(json.dumps(value, ensure_ascii=False))
