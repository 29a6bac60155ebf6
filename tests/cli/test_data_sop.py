"""``turnwright data`` on SOP-Bench folders: the card, and a split that copies no row."""

import json
from pathlib import Path

from cli.conftest import Command
from environments.sop_domains_made import LOOKUPS, write_domain

ROWS = [(f"{i:03}", "north", "1", "", "True", "1", "admit" if i % 2 else "refuse") for i in range(20)]


def test_card_of_a_domain_and_of_a_checkout(turnwright: Command, tmp_path: Path) -> None:
    write_domain(tmp_path / "badges", rows=ROWS, lookups=LOOKUPS)
    write_domain(tmp_path / "gates", metadata={"name": "gates", "output_columns": ["decision"]})
    text = turnwright("data", "card", f"sop:{tmp_path / 'badges'}")
    assert text.code == 0
    assert "no licence text found" in text.out
    assert "50.0%: decision" in text.out
    cards = json.loads(turnwright("data", "card", f"sop:{tmp_path}", "--json").out)
    assert [card["name"] for card in cards] == ["badges", "gates"]
    assert cards[0]["vocabulary"] == {"decision": ["admit", "refuse"]}


def test_split_of_a_domain_writes_the_lock_alone(turnwright: Command, tmp_path: Path) -> None:
    write_domain(tmp_path / "badges", rows=ROWS, lookups=LOOKUPS)
    out = tmp_path / "split"
    done = turnwright("data", "split", f"sop:{tmp_path / 'badges'}", "--out", out, "--test", "0.4", "--json")
    assert done.code == 0
    assert json.loads(done.out)["counts"] == {"train": 10, "validation": 2, "test": 8}
    assert [path.name for path in out.iterdir()] == ["split.lock.json"]


def test_checkout_is_not_split_at_once(turnwright: Command, tmp_path: Path) -> None:
    for name in ("badges", "gates"):
        write_domain(tmp_path / name, metadata={"name": name, "output_columns": ["decision"]})
    refused = turnwright("data", "split", f"sop:{tmp_path}", "--out", tmp_path / "split")
    assert (refused.code, "split one domain at a time" in refused.err) == (2, True)
