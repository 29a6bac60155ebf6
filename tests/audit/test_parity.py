"""Tools compared with production's, from every form of file."""

import json
from pathlib import Path
from typing import Any

import pytest

from turnwright import Episode, Task, tool
from turnwright.audit.parity import check_parity
from turnwright.audit.production import read_production
from turnwright.core.errors import DatasetError
from turnwright.core.message import ToolSpec
from turnwright.core.task import Split
from turnwright.environments.base import Environment


class Desk(Environment):
    def tasks(self, split: Split) -> list[Task]:
        return []

    def reward(self, episode: Episode) -> float:
        return 0.0

    @tool
    def get_order(self, order: str, year: int = 2024) -> str:
        """Return an order.

        Args:
            order: Its number.
        """
        return order


OURS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "description": "Its number."},
        "year": {"type": "integer", "default": 2024},
    },
    "required": ["order"],
}


def compare(**changes: Any) -> list[tuple[str, str, str]]:
    """Compare the desk with a production whose get_order has these arguments instead."""
    schema = {**OURS, "properties": {**OURS["properties"], **changes.pop("properties", {})}, **changes}
    production = [ToolSpec(name="get_order", description="Return an order.", parameters=schema)]
    return [(f.code, f.severity, f.where) for f in check_parity(Desk(), production)]


def test_equal_tools_are_at_parity() -> None:
    assert compare() == []
    assert check_parity(Desk(), None) == ()


@pytest.mark.parametrize(
    ("changes", "severity", "argument"),
    [
        ({"properties": {"order": {"type": "integer", "description": "Its number."}}}, "error", "order"),
        ({"properties": {"order": {"type": "string", "description": "The number."}}}, "warning", "order"),
        (
            {"properties": {"order": {"type": "string", "description": "Its number.", "enum": ["a"]}}},
            "error",
            "order",
        ),
        ({"properties": {"region": {"type": "string"}}}, "error", "region"),
        ({"required": ["order", "year"]}, "error", "year"),
    ],
)
def test_changed_argument_is_named(changes: dict[str, Any], severity: str, argument: str) -> None:
    assert compare(**changes) == [("parity.schema", severity, f"tool 'get_order', argument '{argument}'")]


def test_missing_and_extra_tools_are_named() -> None:
    found = check_parity(Desk(), [ToolSpec(name="refund", description="Pay back.")])
    assert [(f.code, f.where) for f in found] == [("parity.tool", "tool 'refund'"), ("parity.tool", "tool 'get_order'")]


ONE = {"name": "get_order", "description": "Return an order."}


@pytest.mark.parametrize(
    "document",
    [
        [{"type": "function", "function": {**ONE, "parameters": OURS}}],
        {"tools": [{**ONE, "inputSchema": OURS}]},
        {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{**ONE, "inputSchema": OURS}]}},
        [{"toolSpec": {**ONE, "inputSchema": {"json": OURS}}}],
        {"recordings": 1, "tools": [{**ONE, "parameters": OURS, "schema": "5e0c"}]},
    ],
    ids=["openai", "mcp", "mcp response", "toolspecs", "recordings"],
)
def test_every_form_of_file_is_read(document: object, tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    path.write_text(json.dumps(document))
    assert read_production(path) == (ToolSpec(**ONE, parameters=OURS),)


def test_recordings_are_read_by_their_first_line(tmp_path: Path) -> None:
    path = tmp_path / "recordings.jsonl"
    path.write_text(json.dumps({"recordings": 1, "tools": [{**ONE, "parameters": OURS}]}) + '\n{"tool": "get_order"}\n')
    assert [spec.name for spec in read_production(path)] == ["get_order"]


@pytest.mark.parametrize(
    ("text", "told"), [("{}", "no list of tools"), ("[1]", "tool 1 has no name"), ("no", "not JSON"), (None, "read")]
)
def test_what_is_no_list_of_tools_is_refused(text: str | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DatasetError, match=told):
        read_production(path)
