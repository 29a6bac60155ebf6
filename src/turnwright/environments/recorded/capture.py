"""Recorder: asks live tools and appends what they answer to a recordings file.

    source (functions, HTTP API, MCP server) --answer--> recorder --one line per call--> recordings.jsonl

One recorder writes a file at a time. A call that is recorded already is asked again and must be answered alike.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from turnwright.core.errors import DatasetError, EnvironmentLoadError, ToolError
from turnwright.core.message import ToolSpec
from turnwright.environments.recorded.keys import canonical_arguments, completed
from turnwright.environments.recorded.sources import Source
from turnwright.environments.recorded.store import (
    Recording,
    header_line,
    read_recordings,
    recording_line,
    shorten,
)
from turnwright.environments.tools import Tool, argument_problems
from turnwright.rundir.files import LineLog, read_lines


class Recorder:
    """Appends to one file; a context manager that closes it.

    Example::

        with Recorder(Path("recordings.jsonl"), Functions(get_city)) as recorder:
            for order in orders:
                asyncio.run(recorder.record("get_city", {"order": order}))
    """

    def __init__(self, path: Path, source: Source) -> None:
        """Start a file, or go on with one that was recorded under the same schemas.

        Raises EnvironmentLoadError naming the difference when the source's schemas are others than the header's, or
        a tool that the source has twice.
        """
        names = [spec.name for spec in source.specs]
        if twice := {name for name in names if names.count(name) > 1}:
            raise EnvironmentLoadError(
                f"the source has {min(twice)!r} more than once: give each tool a name of its own"
            )
        self._source = source
        self._tools = {spec.name: Tool(spec=spec, function=source.answer) for spec in source.specs}
        begun = next(read_lines(path), None) is not None
        known: Mapping[str, Mapping[str, Recording]] = {}
        if begun:
            recordings = read_recordings(path)
            recordings.compare(source.specs)
            known = recordings.by_key
        self._by_key = {name: dict(known.get(name, {})) for name in self._tools}
        self._log = LineLog(path)
        if not begun:
            self._log.append(header_line(source.specs))

    async def record(self, tool: str, arguments: Mapping[str, Any]) -> Recording:
        """Ask the live tool, with the schema's defaults filled in, and append its answer unless it is there already.

        A ToolError is an answer and is recorded; whatever else the source raises is passed on and leaves no line.
        Any number of calls may be under way at once.

        Raises:
            DatasetError: there is no such tool, the arguments are off its schema, or it was answered otherwise
                before: such a tool is not read-only, or tells the time, and cannot be replayed.
        """
        if tool not in self._tools:
            raise DatasetError(f"cannot record {tool!r}: the source has {', '.join(self._tools) or 'no tools'}")
        problems = argument_problems(self._tools[tool], arguments)
        if problems:
            raise DatasetError(f"cannot record {tool!r} with {dict(arguments)}: {'; '.join(problems)}")
        recording = await self._ask(self._tools[tool].spec, arguments)
        known = self._by_key[tool].get(recording.key)
        if known is None:
            self._log.append(recording_line(recording, self._tools[tool].spec))
            self._by_key[tool][recording.key] = recording
            return recording
        if not known.agrees(recording):
            raise DatasetError(
                f"{recording} cannot be replayed: it was answered {shorten(known.answer)!r} before and "
                f"{shorten(recording.answer)!r} now; record read-only tools only, and none that tells the time"
            )
        return known

    def close(self) -> None:
        """Hand the file to the disk and close it."""
        self._log.close()

    def __enter__(self) -> Self:
        """Return the recorder itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    async def _ask(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> Recording:
        key, started, error = canonical_arguments(spec, arguments), time.perf_counter(), False
        try:
            answer = await self._source.answer(spec.name, completed(spec, arguments))
        except ToolError as refusal:
            answer, error = str(refusal), True
        latency_ms = 1000 * (time.perf_counter() - started)
        return Recording(tool=spec.name, key=key, answer=answer, error=error, latency_ms=latency_ms)
