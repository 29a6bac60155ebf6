"""A domain folder is read cell by cell, written back unchanged, and refused with the reason when it is broken."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from turnwright.core.errors import DatasetError, EnvironmentLoadError
from turnwright.environments.gallery.returns_desk.generator import generate_folder
from turnwright.environments.sop.folder import read_sop_folder, write_sop_folder
from turnwright.environments.sop.lookups import Cell, CellType

TOOL = {
    "name": "check",
    "description": "Check.",
    "inputSchema": {"json": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}},
}


def write(path: Path, rows: list[list[str]], **metadata: Any) -> Path:
    (path / "sop.txt").write_bytes("Prüfe.".encode("latin-1"))
    (path / "toolspecs.json").write_text(json.dumps([{"toolSpec": TOOL}]))
    (path / "metadata.json").write_text(json.dumps({"name": "tiny", "output_columns": ["label"], **metadata}))
    with (path / "test_set_with_outputs.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


ROWS = [["id", "note", "label"], ["007", "NA", "yes"], ["", "a\nb\u2028c", "no"]]


def test_written_folder_is_read_back_equal(tmp_path: Path) -> None:
    folder = generate_folder(seed=3, train=120, validation=120, test=240)
    write_sop_folder(folder, tmp_path / "desk")
    assert read_sop_folder(tmp_path / "desk") == folder
    assert sorted(path.name for path in (tmp_path / "desk").iterdir()) == [
        "metadata.json",
        "sop.txt",
        "test_set_with_outputs.csv",
        "toolspecs.json",
        "train.csv",
        "validation.csv",
    ]


def test_cells_are_text_as_written(tmp_path: Path) -> None:
    folder = read_sop_folder(write(tmp_path, ROWS, input_columns=["id", "note"]))
    assert folder.rows["test"] == (
        {"id": "007", "note": "NA", "label": "yes"},
        {"id": "", "note": "a\nb\u2028c", "label": "no"},
    )
    assert folder.procedure == "Prüfe."
    assert folder.findings == ()


def test_missing_input_columns_are_a_finding_and_hide_the_label(tmp_path: Path) -> None:
    folder = read_sop_folder(write(tmp_path, ROWS))
    assert folder.input_columns == ("id", "note")
    assert [(finding.code, finding.severity) for finding in folder.findings] == [("leak.answer", "warning")]


def test_label_among_the_input_columns_is_a_finding(tmp_path: Path) -> None:
    folder = read_sop_folder(write(tmp_path, ROWS, input_columns=["id", "label"]))
    (finding,) = folder.findings
    assert (finding.code, finding.severity) == ("leak.answer", "warning")
    assert "label" in finding.evidence
    assert (folder.input_columns, folder.official_columns) == (("id",), ("id", "label"))


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("string", " NA ", " NA "),
        ("string", "", ""),
        ("boolean", "True", True),
        ("boolean", "false", False),
        ("boolean", "", None),
        ("integer", "20", 20),
        ("number", "37.04", 37.04),
        ("number", "nan", None),
        ("json", '{"a": NaN}', {"a": None}),
        ("literal", "['A', 'B']", ["A", "B"]),
    ],
)
def test_cell_is_read_as_its_type(type_: CellType, text: str, value: object) -> None:
    assert Cell(column="x", type=type_).read({"x": text}) == value


@pytest.mark.parametrize(
    ("type_", "text"), [("boolean", "maybe"), ("integer", "2.5"), ("number", "much"), ("json", "{"), ("literal", "[A")]
)
def test_cell_of_another_type_is_refused_by_column_and_text(type_: CellType, text: str) -> None:
    with pytest.raises(DatasetError, match=f"column 'x' holds .*expected {type_}"):
        Cell(column="x", type=type_).read({"x": text})


@pytest.mark.parametrize(
    ("rows", "metadata", "named"),
    [
        (ROWS[:1], {}, "has no rows"),
        ([*ROWS, ["1", "2", "3", "4"]], {}, "line 5: expected 3 cells"),
        (ROWS, {"lookups": [{"tool": "check", "match": {"id": "di"}}]}, "has no column 'di'"),
        (ROWS, {"lookups": [{"match": {"id": "id"}}]}, "not in the format: KeyError.'tool'"),
        (ROWS, {"transient": {"column": "id"}}, "not in the format.*message"),
    ],
)
def test_broken_folder_is_refused_with_the_reason(
    tmp_path: Path, rows: list[list[str]], metadata: dict[str, Any], named: str
) -> None:
    with pytest.raises(EnvironmentLoadError, match=named):
        read_sop_folder(write(tmp_path, rows, **metadata))


@pytest.mark.parametrize("name", ["sop.txt", "toolspecs.json", "metadata.json", "test_set_with_outputs.csv"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write(tmp_path, ROWS) / name).unlink()
    with pytest.raises(EnvironmentLoadError, match=name):
        read_sop_folder(tmp_path)


def test_broken_json_is_named(tmp_path: Path) -> None:
    (write(tmp_path, ROWS) / "metadata.json").write_text("{")
    with pytest.raises(EnvironmentLoadError, match=r"metadata\.json is not JSON"):
        read_sop_folder(tmp_path)
