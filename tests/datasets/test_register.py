"""The register: one version per content, found by name, never changed."""

import json
from pathlib import Path

import pytest

from turnwright.core.errors import DatasetError
from turnwright.datasets import list_entries, load_tasks, locate, register, resolve


def write(path: Path, *prompts: str) -> Path:
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TURNWRIGHT_DATA", str(tmp_path / "store"))
    return tmp_path / "store"


def test_a_version_is_its_content(tmp_path: Path, root: Path) -> None:
    file = write(tmp_path / "tasks.jsonl", "a", "b")
    first = register("orders", file)
    # The beginning of `sha256sum` of the file.
    assert (first.version, first.rows, first.size_bytes) == ("9ed9578d1c5c", 2, 32)
    assert register("orders", file) == first
    second = register("orders", write(file, "a", "c"))
    assert second.version != first.version
    assert [task.prompt for task in load_tasks(locate(first.reference))] == ["a", "b"]
    assert [task.id for task in load_tasks(resolve(second.reference))] == ["tasks-1", "tasks-2"]
    assert {entry.version for entry in list_entries()} == {first.version, second.version}
    assert sorted(path.name for path in root.iterdir()) == ["orders"]


def test_what_is_registered_is_read_only_and_a_change_is_noticed(tmp_path: Path, root: Path) -> None:
    entry = register("orders", write(tmp_path / "tasks.jsonl", "a"))
    path = resolve(entry.reference)
    assert path.stat().st_mode & 0o222 == 0
    path.chmod(0o644)
    write(path, "b")
    with pytest.raises(DatasetError, match="is missing or was changed: remove the folder"):
        resolve(entry.reference)


def test_a_broken_file_is_refused_by_its_own_name(tmp_path: Path, root: Path) -> None:
    file = write(tmp_path / "tasks.jsonl", "a", "")
    with pytest.raises(DatasetError, match=f"^{file}, line 2 has prompt = ''"):
        register("orders", file)
    assert list_entries() == ()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("name", ["", "../x", "a@b", ".hidden", "a b"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, root: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="cannot name data: expected letters"):
        register(name, write(tmp_path / "tasks.jsonl", "a"))


def test_an_unknown_reference_says_what_there_is(tmp_path: Path, root: Path) -> None:
    entry = register("orders", write(tmp_path / "tasks.jsonl", "a"))
    for reference in ("data:orders", "data:orders@123", "data:orders@"):
        with pytest.raises(DatasetError, match=f"there is {entry.reference}"):
            resolve(reference)
    with pytest.raises(DatasetError, match="there is no version of it; `turnwright data register desk PATH`"):
        resolve("data:desk@123")
    for reference in ("orders", "data:../orders@1"):
        with pytest.raises(DatasetError, match="names no registered data: expected data:NAME@VERSION"):
            resolve(reference)


def test_a_damaged_entry_is_named(tmp_path: Path, root: Path) -> None:
    entry = register("orders", write(tmp_path / "tasks.jsonl", "a"))
    (root / "orders" / entry.version / "entry.json").write_text("{}")
    with pytest.raises(DatasetError, match="is no version of registered data"):
        list_entries()
    assert resolve(register("desk", tmp_path / "tasks.jsonl").reference).is_file()


def test_a_file_may_be_called_as_the_register_calls_its_own(tmp_path: Path, root: Path) -> None:
    (tmp_path / "entry.json").write_text('[{"prompt": "a"}]')
    entry = register("orders", tmp_path / "entry.json")
    assert [task.prompt for task in load_tasks(resolve(entry.reference))] == ["a"]


def test_a_missing_file_is_named(tmp_path: Path, root: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no file .*none\.jsonl"):
        register("orders", tmp_path / "none.jsonl")
