"""Rows of every format become tasks; what is wrong with a file is said with its row, reason and cure."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars
import pytest

from turnwright.core.errors import DatasetError
from turnwright.core.task import Task
from turnwright.datasets import load_tasks, scan
from turnwright.datasets.load import MAX_PROBLEMS
from turnwright.datasets.rows import MAX_ROW_BYTES

PROMPT = ' order: "O3", \u2028 please\r\n'
ROWS = [
    {"id": "a", "prompt": PROMPT, "cluster": "c", "gold": "refund"},
    {"id": "b", "prompt": "order: O4", "cluster": None, "gold": "wait"},
]


def as_jsonl(path: Path) -> None:
    path.write_text("\n\n".join(map(json.dumps, ROWS)))


def as_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS, indent=2))


def as_csv(path: Path) -> None:
    quoted = PROMPT.replace('"', '""')
    path.write_bytes(f'\ufeffid,prompt,cluster,gold\r\na,"{quoted}",c,refund\r\nb,order: O4,,wait\r\n'.encode())


def as_parquet(path: Path) -> None:
    polars.DataFrame(ROWS).write_parquet(path)


@pytest.mark.parametrize("write", [as_jsonl, as_json, as_csv, as_parquet])
def test_every_format_gives_the_same_tasks(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / f"tasks.{write.__name__.removeprefix('as_')}"
    write(path)
    assert load_tasks(path, "test") == (
        Task(id="a", prompt=PROMPT, data={"gold": "refund"}, split="test", cluster="c"),
        Task(id="b", prompt="order: O4", data={"gold": "wait"}, split="test"),
    )


def test_without_a_prompt_the_first_column_is_the_prompt(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,question,prompts\na,why?,x\n")
    assert load_tasks(path) == (Task(id="a", prompt="why?", data={"prompts": "x"}),)


def test_ids_that_are_not_given_name_the_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('prompt\n"two\nlines"\nlast\n')
    assert [task.id for task in load_tasks(path)] == ["t-2", "t-4"]


def test_dates_of_parquet_become_text(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    polars.DataFrame({"prompt": ["x"], "day": [date(2026, 1, 2)], "list": [[1, 2]]}).write_parquet(path)
    assert load_tasks(path)[0].data == {"day": "2026-01-02", "list": [1, 2]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"prompt": "x"\n', "line 1 is not JSON: Expecting ',' delimiter"),
        (b'\n["x"]', "line 2 is list: expected an object"),
        (b'{"prompt": "x", "gold": 1, "gold": 2}', "line 1 has the key 'gold' twice: keep one"),
        (b'{"prompt": "x", "a": [{"b": NaN}]}', r"line 1 has a\[0\].b = nan, which is not JSON: write null"),
        (b'{"prompt": "x", "a": -1e999}', "line 1 has a = -inf"),
        (b'{"prompt": "\xff"}', "line 1 is not UTF-8: invalid start byte at byte 12: save it as UTF-8"),
        (b'{"prompt": "\\ud800"}', "line 1 holds text that is not UTF-8"),
        (b'{"prompt": "a"}\n{"text": "b"}', "line 2 has no column 'prompt': every row needs it; this one has text"),
        (b'{"prompt": " \\n"}', r"line 1 has prompt = ' \\n': expected text that is not empty"),
        (b'{"prompt": 7}', "line 1 has prompt = 7: expected text"),
        (b'{"prompt": "x", "id": ""}', "line 1 has id = ''"),
        (b'{"prompt": "x", "cluster": [1]}', r"line 1 has cluster = \[1\]: expected text or a whole number"),
        (
            b'{"prompt": "x", "id": "a"}\n' * 2,
            "line 2 has id = 'a' again: give every row its own; .*line 1 has it first",
        ),
        (b'{"a": "x"}\n{"a": "x", "prompt": "y"}', "line 2 has a column 'prompt': the first row has not"),
        (b"[" * 100_000, "line 1 is not JSON"),
        (b'{"prompt": "x", "a": ' + b"[" * 65 + b"]" * 65 + b"}", "line 1 nests lists or objects more than 64 deep"),
        (b" \n", "t.jsonl has no rows"),
    ],
)
def test_a_broken_jsonl_row_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        load_tasks(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"prompt,gold\nx\n", "line 2 has 1 cells: expected 2, as in the header"),
        (b'prompt,gold\nx,1\n"y,2\n', "line 3 is not CSV: unexpected end of data: quote cells"),
        (b'prompt\n"a"b\nok\n', "line 2 is not CSV"),
        (b"prompt,a,a\nx,1,2\n", "line 1 names column 'a' twice"),
        (b"prompt,\nx,1\n", "line 1 has no name for column 2"),
        (b"prompt\n\xe9t\xe9\n", "line 2 holds text that is not UTF-8"),
        (b"prompt,gold\n ,1\n", "line 2 has prompt = ' '"),
        (b"prompt\n", "t.csv has no rows"),
    ],
)
def test_a_broken_csv_row_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        load_tasks(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"prompt": "x"}', "t.json is not a JSON array"),
        (b'[{"prompt": "x"}, {"prompt": }]', "row 2 is not JSON: .*: mend it; the rows after it were not read"),
        (b'[{"prompt": "x"} {}]', "row 1 is followed by '{': expected ',' or ']'"),
        (b'[{"prompt": "x"}', "row 1 is followed by the end of the file"),
        (b'[{"prompt": "x"}] []', "t.json goes on after its array"),
        (b'[{"prompt": "x"}, 3]', "row 2 is int: expected an object"),
        (b'[{"prompt": "\xff"}]', "row 1 holds text that is not UTF-8"),
        (b"[]", "t.json has no rows"),
    ],
)
def test_a_broken_array_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        load_tasks(path)


def test_what_parquet_holds_and_json_does_not_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    polars.DataFrame({"prompt": ["x", "y", None], "a": [float("nan"), 1.0, 2.0]}).write_parquet(path)
    assert [problem.where.partition(", ")[2] for problem in scan(path).errors] == ["row 1", "row 3"]
    polars.DataFrame({"prompt": ["x"], "a": [b"1"]}).write_parquet(path)
    with pytest.raises(DatasetError, match=r"row 1 holds what is not JSON: .*bytes"):
        load_tasks(path)
    path.write_bytes(b"PAR1, or so it says")
    with pytest.raises(DatasetError, match=r"t\.parquet is not a Parquet file"):
        load_tasks(path)


def test_all_problems_are_listed_and_good_rows_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"prompt": "a"}\n{\n{"prompt": ""}\n{"prompt": "b"}\n')
    scanned = scan(path)
    assert [task.prompt for task in scanned.tasks] == ["a", "b"]
    assert [(problem.code, problem.where) for problem in scanned.errors] == [
        ("row.not_json", f"{path}, line 2"),
        ("row.empty_prompt", f"{path}, line 3"),
    ]


def test_problems_are_listed_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("{\n" * (2 * MAX_PROBLEMS))
    errors = scan(path).errors
    assert [error.code for error in errors[-2:]] == ["row.not_json", "file.many_problems"]
    assert len(errors) == MAX_PROBLEMS + 1


def test_columns_that_some_rows_lack_are_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"prompt": "a", "gold": 1, "cluster": 1}\n{"prompt": "b", "gold": 2}\n{"prompt": "c"}\n')
    warnings = scan(path).findings
    assert [(one.code, one.severity, one.evidence) for one in warnings] == [
        ("column.missing", "warning", "has no 'gold' in 1 of 3 rows, first 't-3'"),
        ("column.missing", "warning", "has no 'cluster' in 2 of 3 rows, first 't-2'"),
    ]
    assert [task.cluster for task in load_tasks(path)] == ["1", None, None]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "json"])
def test_a_row_that_is_too_large_is_named(tmp_path: Path, ending: str) -> None:
    large, path = "x" * MAX_ROW_BYTES, tmp_path / f"t.{ending}"
    rows = [json.dumps({"prompt": "small"}), json.dumps({"prompt": large}), json.dumps({"prompt": "last"})]
    path.write_text(
        {"jsonl": "\n".join(rows), "csv": f"prompt\nsmall\n{large}\nlast\n", "json": f"[{', '.join(rows)}]"}[ending]
    )
    (problem,) = scan(path).errors
    assert (problem.code, problem.evidence) == ("row.too_large", "is larger than 8 MiB")
    assert problem.where.endswith({"jsonl": ", line 2", "csv": ", line 3", "json": ", row 2"}[ending])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "opening"), [("jsonl", b'{"prompt": "'), ("csv", b"prompt\n"), ("csv", b'prompt\n"one\n')]
)
def test_a_row_of_100_mb_does_not_fill_the_memory(tmp_path: Path, ending: str, opening: bytes) -> None:
    import tracemalloc

    path = tmp_path / f"t.{ending}"
    with path.open("wb") as file:
        file.write(opening)
        file.truncate(100_000_000)
    tracemalloc.start()
    try:
        (problem,) = scan(path).errors
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert problem.code == "row.too_large"
    assert peak < 5 * MAX_ROW_BYTES


def test_a_missing_file_and_an_unknown_ending_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no file .*none\.jsonl"):
        scan(tmp_path / "none.jsonl")
    (tmp_path / "t.xlsx").touch()
    with pytest.raises(DatasetError, match=r"the ending '\.xlsx': expected \.parquet, \.jsonl, \.json, \.csv"):
        scan(tmp_path / "t.xlsx")
