"""Domain folders as they are found in the wild load, keep their rows, and say what was mended."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from environments.sop_domains_made import HEADER, METADATA, ROWS, TOOLSPECS, write_domain
from turnwright.audit.check import check
from turnwright.core.errors import EnvironmentLoadError
from turnwright.environments.sop.environment import SopEnvironment

BARE = {"toolSpec": {"name": "find_badge"}}
ODD_TOOLS: dict[str, Any] = {
    "no schema": [BARE],
    "no wrapper": [TOOLSPECS[0]["toolSpec"]],
    "no json level": [{"toolSpec": {"name": "a", "description": "b", "inputSchema": {"type": "object"}}}],
    "a tool twice": [*TOOLSPECS, TOOLSPECS[0]],
    "none at all": [],
    "under a key": {"tools": TOOLSPECS},
    "required is text": [{"toolSpec": {"name": "a", "inputSchema": {"json": {"required": "badge"}}}}],
    "odd types": [
        {
            "toolSpec": {
                "name": "a",
                "inputSchema": {"json": {"properties": {"x": {"type": "str"}, "y": "text", "z": {}}}},
            }
        }
    ],
    "enum that rows violate": [
        {"toolSpec": {"name": "a", "inputSchema": {"json": {"properties": {"badge": {"enum": ["1"], "pattern": "("}}}}}}
    ],
}


def codes(environment: SopEnvironment) -> set[str]:
    return {finding.code for finding in environment.findings}


@pytest.mark.parametrize("name", ODD_TOOLS)
def test_odd_tools_load(name: str, tmp_path: Path) -> None:
    environment = SopEnvironment(write_domain(tmp_path, toolspecs=ODD_TOOLS[name]))
    assert len(environment.tasks("test")) == len(ROWS)
    for spec in environment.tool_specs():
        assert isinstance(spec.parameters["properties"], dict)
        assert isinstance(spec.parameters["required"], list)
    if name not in ("no wrapper", "none at all", "under a key", "enum that rows violate"):
        assert "format.folder" in codes(environment)


@pytest.mark.parametrize(
    ("metadata", "labels", "shown", "reported"),
    [
        (METADATA, ("decision",), ("badge",), False),
        ({**METADATA, "output_columns": "decision"}, ("decision",), ("badge",), True),
        ({**METADATA, "output_columns": ["Decision "]}, ("decision",), ("badge",), True),
        ({**METADATA, "output_columns": ["decision", "verdict"]}, ("decision",), ("badge",), True),
        ({**METADATA, "input_columns": ["badge", "colour"]}, ("decision",), ("badge",), True),
        ({**METADATA, "input_columns": [1]}, ("decision",), HEADER[:-1], True),
        ({"output_columns": ["decision"], "input_columns": ["badge"]}, ("decision",), ("badge",), True),
        ({"name": None, "input_columns": ["badge"]}, ("decision",), ("badge",), True),
        ({}, ("decision",), HEADER[:-1], True),
    ],
)
def test_odd_metadata_is_mended_and_reported(
    metadata: dict[str, Any], labels: tuple[str, ...], shown: tuple[str, ...], reported: bool, tmp_path: Path
) -> None:
    environment = SopEnvironment(write_domain(tmp_path / "badges", metadata=metadata))
    folder = environment.folder
    assert (folder.name, folder.output_columns, folder.input_columns) == ("badges", labels, shown)
    assert [task.data["gold"]["decision"] for task in environment.tasks("test")] == [row[-1] for row in ROWS]
    assert ("format.folder" in codes(environment)) is reported


def test_label_columns_are_those_that_the_unlabelled_table_lacks(tmp_path: Path) -> None:
    write_domain(tmp_path, metadata={"name": "badges"}, header=("decision", *HEADER[:-1]))
    (tmp_path / "test_set_without_outputs.csv").write_text(
        ",".join(HEADER[:-1]) + "\n" + "," * (len(HEADER) - 2) + "\n"
    )
    assert SopEnvironment(tmp_path).folder.output_columns == ("decision",)


def test_table_with_every_quirk_keeps_its_cells(tmp_path: Path) -> None:
    header = ("", *HEADER, "zone", "")
    rows = [
        ("0", "007", "n\u00f6rdlich", "02", "NaN", "True", "{'a': nan}", "admit", "x", "y"),
        ("1", "007", "line\nbreak", "", "null", "true", '{"a": NaN}', "refuse"),
        ("", " 009 ", "", "", "", "", "", "", "", ""),
    ]
    path = write_domain(tmp_path, header=header, rows=rows, encoding="latin-1", line_end="\r\n")
    environment = SopEnvironment(path)
    first, second, third = environment.folder.rows["test"]
    assert (first["Unnamed: 0"], first["zone"], first["zone.1"], first["Unnamed: 9"]) == (
        "0",
        "n\u00f6rdlich",
        "x",
        "y",
    )
    assert (first["badge"], first["level"], second["zone"], second["zone.1"]) == ("007", "02", "line\nbreak", "")
    assert third["badge"] == " 009 "
    tasks = environment.tasks("test")
    assert len({task.id for task in tasks}) == 3
    assert [task.data["gold"]["decision"] for task in tasks] == ["admit", "refuse", None]
    evidence = " ".join(finding.evidence for finding in environment.findings)
    assert "1 rows end before the last column (line 4)" in evidence
    assert "1 tasks have no label at all (row 3)" in evidence
    assert "1 prompts occur with different labels, such as 'badge: 007'" in evidence


def test_marks_of_other_encodings_are_no_part_of_a_name(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        environment = SopEnvironment(write_domain(tmp_path / encoding, encoding=encoding))
        assert environment.folder.columns == HEADER
        assert environment.folder.procedure.startswith("Look the badge up.")


@pytest.mark.parametrize(
    ("labels", "gold", "asked"),
    [
        (("True", "false", "TRUE", ""), [True, False, True, None], '{"decision": false}'),
        (("1", "0", "-3", "12"), [1, 0, -3, 12], '{"decision": 0}'),
        (("1", "0.5", "2.0", "7"), [1.0, 0.5, 2.0, 7.0], '{"decision": 0.0}'),
        (("01", "2", "3", "4"), ["01", "2", "3", "4"], '{"decision": "..."}'),
        (("nan", "NA", "None", ""), ["nan", "NA", "None", None], '{"decision": "..."}'),
    ],
)
def test_labels_have_the_type_that_all_of_them_share(
    labels: tuple[str, ...], gold: list[object], asked: str, tmp_path: Path
) -> None:
    rows = [(*row[:-1], label) for row, label in zip(ROWS, labels, strict=True)]
    environment = SopEnvironment(write_domain(tmp_path, rows=rows))
    assert [task.data["gold"]["decision"] for task in environment.tasks("test")] == gold
    assert f"<final_output>{asked}</final_output>" in environment.instructions


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("metadata.json", "[]", "expected an object"),
        ("toolspecs.json", '"x"', "expected a list of tools"),
        ("toolspecs.json", '[{"toolSpec": {}}]', "entry 1 must be"),
        ("toolspecs.json", "[1]", "entry 1 must be"),
        ("test_set_with_outputs.csv", "a,decision\n1,2,3\n", "line 2: expected 2 cells"),
        ("test_set_with_outputs.csv", 'a,decision\n"1,2\n', "line 2"),
        ("test_set_with_outputs.csv", "", "has no rows"),
    ],
)
def test_what_cannot_be_mended_is_refused_with_the_place(file: str, content: str, reason: str, tmp_path: Path) -> None:
    write_domain(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(EnvironmentLoadError, match=reason):
        SopEnvironment(tmp_path)


CELLS = st.sampled_from(
    ("", " ", "nan", "NaN", "None", "007", "1", "1.0", "1e5", "True", "x", "a,b", 'say "hi"', "l\nm", "\u00fc", "[1]",
     "{}", '{"a": NaN}', "</sop>", "{procedure}", "inf", "9" * 30)
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_folder_loads_or_is_refused_with_its_name(data: st.DataObject, tmp_path: Path) -> None:
    width = data.draw(st.integers(1, 5))
    header = data.draw(st.lists(st.sampled_from(("id", "a", "b", "label", "", "a")), min_size=width, max_size=width))
    rows = data.draw(st.lists(st.lists(CELLS, min_size=1, max_size=width + 1), max_size=4))
    metadata = data.draw(
        st.fixed_dictionaries(
            {}, optional={key: VALUES | st.just(["label"]) for key in ("name", "output_columns", "input_columns")}
        )
    )
    spec = st.fixed_dictionaries(
        {"name": st.just("look") | VALUES},
        optional={"description": VALUES, "inputSchema": VALUES | st.just({"json": {}})},
    )
    toolspecs = data.draw(st.lists(st.fixed_dictionaries({"toolSpec": spec}) | VALUES, max_size=2))
    mode: Any = data.draw(st.sampled_from(("repaired", "official")))
    path = write_domain(tmp_path, header=header, rows=rows, metadata=metadata, toolspecs=toolspecs)
    try:
        environment = SopEnvironment(path, mode=mode)
    except EnvironmentLoadError as error:
        refused = str(error)
    else:
        refused = ""
        _require_usable(environment)
    assert not refused or str(tmp_path) in refused


def _require_usable(environment: SopEnvironment) -> None:
    tasks = environment.tasks("test")
    json.dumps([task.data for task in tasks])
    assert len({task.id for task in tasks}) == len(tasks) == len(environment.folder.rows["test"])
    assert all(finding.cure for finding in environment.findings)


@pytest.mark.slow
def test_audit_of_a_quirky_folder_reports_and_does_not_break(tmp_path: Path) -> None:
    rows = [(str(i), "", "x", "", "maybe", "nan", ("yes", "no", "")[i % 3]) for i in range(12)]
    path = write_domain(tmp_path / "odd", metadata={}, rows=rows, toolspecs=ODD_TOOLS["odd types"])
    report = asyncio.run(check(f"sop:{path}"))
    assert {"format.folder", "leak.answer", "tool.unanswered", "data.label"} <= {one.code for one in report.findings}
    assert not report.passed
