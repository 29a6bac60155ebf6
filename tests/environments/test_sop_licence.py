"""Benchmark rows are trained on only by who acknowledges the licence and names a split that keeps test rows out."""

import json
from pathlib import Path

import pytest

from environments.sop_domains_made import HEADER, LOOKUPS, write_domain
from turnwright.core.errors import DatasetError
from turnwright.core.task import Split
from turnwright.environments import load_environment
from turnwright.environments.sop.card import make_card
from turnwright.environments.sop.environment import SopEnvironment
from turnwright.environments.sop.folder import read_sop_folder
from turnwright.environments.sop.licence import find_licences, split_folder

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
ROWS = [(f"{i:03}", "north", "1", "", "True", "1", "admit" if i % 3 else "refuse") for i in range(60)]


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    (tmp_path / "LICENSE").write_text("# Attribution-NonCommercial 4.0\n\nDo as it says.")
    path = write_domain(tmp_path / "data" / "badges", rows=ROWS, lookups=LOOKUPS)
    (path / "LICENSE.md").write_text("Extra terms\nNo steps to facilitate training of models on the data.")
    return path


@pytest.fixture
def lock(domain: Path, tmp_path: Path) -> Path:
    split_folder(read_sop_folder(domain), tmp_path / "split", seed=3, validation=0.1, test=0.4)
    return tmp_path / "split" / "split.lock.json"


def test_licences_of_domain_and_checkout_are_found_with_their_hash(domain: Path) -> None:
    own, above = find_licences(read_sop_folder(domain))
    assert (own.title, own.non_commercial, own.speaks_of_training) == ("Extra terms", False, True)
    assert (above.title, above.non_commercial) == ("Attribution-NonCommercial 4.0", True)
    assert len(above.hash) == 64
    findings = [one for one in SopEnvironment(domain).findings if one.code == "licence.flag"]
    assert [one.severity for one in findings] == ["info", "info"]


def test_training_is_refused_with_the_licence_and_the_way(domain: Path) -> None:
    with pytest.raises(DatasetError, match=r"CC BY-NC.*Extra terms.*acknowledge_licence = true and split_lock"):
        SopEnvironment(domain).tasks("train")
    with pytest.raises(DatasetError, match=r"turnwright data split sop:.*split_lock = "):
        SopEnvironment(domain, acknowledge_licence=True).tasks("train")


def test_split_alone_keeps_test_rows_apart_and_gives_none_to_train_on(domain: Path, lock: Path) -> None:
    environment = SopEnvironment(domain, split_lock=str(lock))
    assert len(environment.tasks("test")) == 24
    with pytest.raises(DatasetError, match="acknowledge_licence = true"):
        environment.tasks("train")


@pytest.mark.parametrize("mode", ["repaired", "official"])
def test_acknowledged_rows_are_split_once_and_labels_alike(domain: Path, lock: Path, mode: str) -> None:
    options = {"split_lock": str(lock), "acknowledge_licence": True, "mode": mode}
    environment = load_environment(f"sop:{domain}", options)
    tasks = {split: list(environment.tasks(split)) for split in SPLITS}
    assert {split: len(some) for split, some in tasks.items()} == {"train": 30, "validation": 6, "test": 24}
    ids = [task.id for some in tasks.values() for task in some]
    assert len(ids) == len(set(ids)) == 60
    refused = {split: sum(task.data["gold"]["decision"] == "refuse" for task in some) for split, some in tasks.items()}
    assert refused == {"train": 10, "validation": 2, "test": 8}
    assert all(task.split == split for split, some in tasks.items() for task in some)


def test_trained_task_is_answered_from_its_own_row(domain: Path, lock: Path) -> None:
    environment = SopEnvironment(domain, split_lock=str(lock), acknowledge_licence=True)
    task = environment.tasks("train")[-1]
    opened = environment.for_episode()
    opened.open(task, 0)
    assert opened.look_up("list_doors", {"badge": task.prompt.removeprefix("badge: ")})["open"] is True


def test_lock_holds_hashes_and_no_row(lock: Path) -> None:
    text = lock.read_text()
    assert "north" not in text
    assert "badge" not in text
    assert {split: part["count"] for split, part in json.loads(text)["splits"].items()} == {
        "train": 30, "validation": 6, "test": 24,
    }  # fmt: skip


def test_split_is_written_once(domain: Path, lock: Path) -> None:
    folder = read_sop_folder(domain)
    split_folder(folder, lock.parent, seed=3, validation=0.1, test=0.4)
    with pytest.raises(DatasetError, match="locks another split"):
        split_folder(folder, lock.parent, seed=4, validation=0.1, test=0.4)


def test_changed_table_and_tampered_lock_are_refused(domain: Path, lock: Path) -> None:
    document = json.loads(lock.read_text())
    document["splits"]["train"]["rows"].append(document["splits"]["test"]["rows"][0])
    tampered = lock.with_name("tampered.json")
    tampered.write_text(json.dumps(document))
    with pytest.raises(DatasetError, match="a row in two splits"):
        SopEnvironment(domain, split_lock=str(tampered))
    write_domain(domain, rows=ROWS[:-1], lookups=LOOKUPS)
    with pytest.raises(DatasetError, match=r"was made for another test_set_with_outputs\.csv"):
        SopEnvironment(domain, split_lock=str(lock))


def test_own_training_rows_need_no_licence(domain: Path) -> None:
    table = (domain / "test_set_with_outputs.csv").read_text().replace("\n0", "\n1")
    (domain / "train.csv").write_text(table)
    assert len(SopEnvironment(domain).tasks("train")) == 60


def test_card_says_what_a_domain_holds(domain: Path) -> None:
    card = make_card(SopEnvironment(domain))
    assert (card.rows, card.tool_source, card.shown, card.leaked) == (60, "recorded", ("badge",), ())
    assert card.vocabulary == {"decision": ("admit", "refuse")}
    assert (card.majority, round(card.majority_share, 3)) == ("decision admit", 0.667)
    assert (card.typical_turns, card.typical_turns_measured, card.max_turns, card.by_rules) == (4, False, 6, None)
    text = card.describe()
    assert "Attribution-NonCommercial 4.0" in text
    assert "66.7%: decision admit" in text
    bare = write_domain(domain.parent / "bare", metadata={"output_columns": ["decision"]}, rows=ROWS)
    other = make_card(SopEnvironment(bare))
    assert (other.tool_source, other.leaked, other.shown) == ("none", ("decision",), HEADER[:-1])
