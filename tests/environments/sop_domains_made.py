"""Small SOP-Bench domains made by the tests: a clean one, with a tools.py of its own, and quirks found in the wild."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HEADER = ("badge", "zone", "level", "expiry", "open_doors", "score", "decision")
ROWS = (
    ("007", "north", "2", "2031-01-01", "True", "1.5", "admit"),
    ("008", "", "3", "2020-05-05", "False", "", "refuse"),
    ("009", "south", "1", "", "True", "0.25", "admit"),
    ("010", "NA", "2", "2031-07-07", "False", "3", "escort"),
)
TOOLSPECS: list[dict[str, Any]] = [
    {
        "toolSpec": {
            "name": name,
            "description": description,
            "inputSchema": {
                "json": {"type": "object", "properties": {"badge": {"type": "string"}}, "required": ["badge"]}
            },
        }
    }
    for name, description in (
        ("find_badge", "Return zone, level and score of a badge."),
        ("check_expiry", "Return the date on which a badge expires."),
        ("list_doors", "Return whether the doors of a badge are open."),
    )
]
METADATA = {"name": "badges", "output_columns": ["decision"], "input_columns": ["badge"]}
LOOKUPS = [
    {
        "tool": "find_badge",
        "match": {"badge": "badge"},
        "returns": {
            "zone": {"column": "zone", "type": "text"},
            "level": {"column": "level", "type": "integer"},
            "score": {"column": "score", "type": "number"},
        },
        "truthy": ["badge"],
    },
    {"tool": "check_expiry", "match": {"badge": "badge"}, "value": {"column": "expiry", "type": "text"}},
    {
        "tool": "list_doors",
        "match": {"badge": "badge"},
        "returns": {"open": {"column": "open_doors", "type": "boolean"}},
        "constants": {"note": "as of today"},
        "own_words": ["note"],
    },
]
TOOLS = '''
import csv
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Printer:
    """No manager: it has no process_tool_call."""


class BadgeManager:
    def __init__(self):
        print("loading", HERE)
        (HERE / "logs").mkdir(exist_ok=True)

    def process_tool_call(self, name, arguments):
        print("call of", name, arguments)
        (HERE / "logs" / name).mkdir(exist_ok=True)
        if name == "find_badge":
            row = self.row(**arguments)
            score = float(row["score"]) if row["score"] else float("nan")
            return {"zone": row["zone"] or None, "level": int(row["level"]), "score": score}
        if name == "check_expiry":
            return self.row(**arguments)["expiry"] or None
        if name == "list_doors":
            return {"open": self.row(**arguments)["open_doors"] == "True", "note": str(HERE)}
        raise ValueError(f"Unknown tool: {name}")

    def row(self, badge):
        if not badge:
            raise ValueError("Missing required parameter: badge")
        with (HERE / "test_set_with_outputs.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                if row["badge"] == badge:
                    return row
        raise ValueError(f"No such badge: {badge}")
'''


def write_domain(
    folder: Path,
    *,
    header: Sequence[str] = HEADER,
    rows: Sequence[Sequence[str]] = ROWS,
    metadata: Mapping[str, Any] | None = None,
    toolspecs: Any = None,
    lookups: Sequence[Mapping[str, Any]] = (),
    tools: str = "",
    encoding: str = "utf-8",
    line_end: str = "\n",
    procedure: str = "Look the badge up. Admit, refuse or escort.",
) -> Path:
    """Write a domain folder and return it; the badge domain where nothing else is said."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sop.txt").write_bytes(procedure.encode(encoding, errors="replace"))
    content = METADATA if metadata is None else metadata
    (folder / "metadata.json").write_text(json.dumps({**content, "lookups": list(lookups)} if lookups else content))
    (folder / "toolspecs.json").write_text(json.dumps(TOOLSPECS if toolspecs is None else toolspecs))
    with (folder / "test_set_with_outputs.csv").open("w", encoding=encoding, newline="", errors="replace") as file:
        csv.writer(file, lineterminator=line_end).writerows([header, *rows])
    if tools:
        (folder / "tools.py").write_text(tools)
    return folder
