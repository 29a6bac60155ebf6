"""Tools as production has them, from a file in any of the forms such lists are kept in.

[{"type": "function", "function": {"name": ..., "parameters": {...}}}]        OpenAI, also with {"tools": [...]}
{"tools": [{"name": ..., "inputSchema": {...}}]}                              MCP, the result of tools/list
[{"toolSpec": {"name": ..., "inputSchema": {"json": {...}}}}]                 SOP-Bench and Bedrock
{"recordings": 1, "tools": [...]}                                             the first line of recordings
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from turnwright.core.errors import DatasetError
from turnwright.core.message import ToolSpec

FORMS = "an OpenAI tools list, an MCP tools/list result, a toolspecs.json or a recordings file"
SCHEMA_NAMES = ("parameters", "inputSchema", "input_schema")


def read_production(path: Path) -> tuple[ToolSpec, ...]:
    """Return the tools in a file.

    Raises DatasetError, which names the entry, for what is no list of tools.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}; expected {FORMS}") from error
    try:
        document = json.loads(text)
    except ValueError:
        document = _first_line(path, text)
    listed = _listed(document)
    if not isinstance(listed, list):
        raise DatasetError(f"{path} has no list of tools: expected {FORMS}")
    return tuple(_spec(entry, f"{path}, tool {number}") for number, entry in enumerate(listed, start=1))


def _first_line(path: Path, text: str) -> Any:
    """Return the header of a file with one JSON object per line."""
    try:
        return json.loads(text.partition("\n")[0])
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}; expected {FORMS}") from error


def _listed(document: Any) -> Any:
    while isinstance(document, Mapping):
        inner = cast("Mapping[str, Any]", document)
        document = inner.get("tools", inner.get("result"))
    return document


def _spec(entry: Any, where: str) -> ToolSpec:
    told = entry
    for name in ("function", "toolSpec"):
        if isinstance(told, Mapping) and isinstance(told.get(name), Mapping):
            told = told[name]
    if not isinstance(told, Mapping) or not isinstance(told.get("name"), str):
        raise DatasetError(f"{where} has no name: got {str(entry)[:120]!r}; expected {FORMS}")
    schema = next((told[name] for name in SCHEMA_NAMES if isinstance(told.get(name), Mapping)), {})
    if isinstance(schema.get("json"), Mapping):
        schema = schema["json"]
    return ToolSpec(name=told["name"], description=str(told.get("description") or ""), parameters=dict(schema))
