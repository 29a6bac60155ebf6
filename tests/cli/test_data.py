import json
from pathlib import Path

import pytest

from cli.conftest import Command

LONG = "please look up the order of this customer and decide whether a refund is due under the policy in force"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TURNWRIGHT_DATA", str(tmp_path / "store"))
    return write(tmp_path / "tasks.jsonl", *(f"order: O{i}" for i in range(20)))


def write(path: Path, *prompts: str) -> Path:
    rows = (json.dumps({"prompt": prompt, "kind": "ab"[i % 2]}) for i, prompt in enumerate(prompts))
    path.write_text("\n".join(rows) + "\n")
    return path


def test_check_passes_clean_files(turnwright: Command, file: Path) -> None:
    result = turnwright("data", "check", file)
    assert (result.code, result.err) == (0, "")
    assert [line.split() for line in result.out.splitlines()] == [["file", "rows", "errors"], [str(file), "20", "0"]]
    assert json.loads(turnwright("data", "check", file, "--json").out) == {
        "passed": True,
        "files": [{"file": str(file), "rows": 20, "errors": 0}],
        "findings": [],
    }


def test_check_names_broken_rows_and_what_two_files_share(turnwright: Command, file: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "test.jsonl", "", "ORDER: o7!", "new", "new")
    result = turnwright("data", "check", file, other)
    assert result.code == 1
    assert f"error row.empty_prompt ({other}, line 1): has prompt = ''; expected text" in result.out
    assert f"error contamination.normalised ({other}, 'test-2'): has, but for case" in result.out
    assert result.out.splitlines()[-1].startswith("warning duplicate.exact")
    document = json.loads(turnwright("data", "check", file, other, "--json").out)
    assert (document["passed"], document["files"][1]) == (False, {"file": str(other), "rows": 3, "errors": 1})
    codes = ["row.empty_prompt", "contamination.normalised", "duplicate.exact"]
    assert [finding["code"] for finding in document["findings"]] == codes


def test_check_lists_a_few_and_counts_the_rest(turnwright: Command, tmp_path: Path) -> None:
    result = turnwright("data", "check", write(tmp_path / "t.jsonl", *["same"] * 31))
    assert result.code == 0
    assert result.out.splitlines()[-1] == "and 10 more: --json has all"


def test_split_writes_files_and_a_lock(turnwright: Command, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "split"
    asked = ("data", "split", file, "--out", out, "--seed", 7, "--validation", 0.1, "--test", 0.2, "--by", "kind")
    result = turnwright(*asked)
    assert result.code == 0
    assert [line.split()[:2] for line in result.out.splitlines()[1:4]] == [
        ["train", "14"],
        ["validation", "2"],
        ["test", "4"],
    ]
    assert sorted(path.name for path in out.iterdir()) == [
        "split.lock.json",
        "test.jsonl",
        "train.jsonl",
        "validation.jsonl",
    ]
    document = json.loads(turnwright(*asked, "--json").out)
    assert document == {
        "passed": True,
        "lock": str(out / "split.lock.json"),
        "counts": {"train": 14, "validation": 2, "test": 4},
        "findings": [],
    }


def test_check_notices_a_file_that_was_changed_after_the_split(turnwright: Command, file: Path, tmp_path: Path) -> None:
    turnwright("data", "split", file, "--out", tmp_path / "split")
    write(tmp_path / "split" / "test.jsonl", "another")
    result = turnwright("data", "check", tmp_path / "split" / "test.jsonl")
    assert (result.code, "error lock.changed" in result.out) == (1, True)


def test_split_says_when_near_duplicates_were_parted(turnwright: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "t.jsonl", *(f"{LONG} {i}" for i in range(10)))
    result = turnwright("data", "split", file, "--out", tmp_path / "split")
    assert (result.code, "error contamination.near" in result.out) == (1, True)


def test_register_and_list(turnwright: Command, file: Path) -> None:
    assert "nothing is registered" in turnwright("data", "list").out
    reference, _, size = turnwright("data", "register", "orders", file).out.partition(": ")
    assert size.startswith("20 rows, ")
    assert turnwright("data", "list").out.splitlines()[1].split()[:2] == [reference, "20"]
    (entry,) = json.loads(turnwright("data", "list", "--json").out)
    assert entry == json.loads(turnwright("data", "register", "orders", file, "--json").out)
    assert (entry["reference"], entry["rows"]) == (reference, 20)
    assert turnwright("data", "check", reference).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "none.jsonl"), "there is no file"),
        (("check", "data:orders@1"), "'data:orders@1' is not in"),
        (("split", "FILE", "--out", "OUT", "--by", "x"), "20 of 20 rows have no column 'x'"),
        (("split", "FILE", "--out", "OUT", "--test", "1"), "test = 1.0: expected a share"),
        (("register", "a@b", "FILE"), "'a@b' cannot name data"),
    ],
)
def test_bad_input_is_one_clean_message(
    turnwright: Command, file: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    names = {"FILE": str(file), "OUT": str(tmp_path / "out")}
    result = turnwright("data", *(names.get(argument, argument) for argument in arguments))
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert said in result.err
