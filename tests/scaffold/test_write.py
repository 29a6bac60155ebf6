"""What `turnwright init` writes works at once: its audit passes, its tests pass, a policy trains in it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from turnwright.core.errors import ConfigError
from turnwright.scaffold.answers import Answers, read_answers
from turnwright.scaffold.code_answers import CodeAnswers, read_code_answers
from turnwright.scaffold.render import invent_table, render
from turnwright.scaffold.write import write_environment

KITS = ("plain", "stateful", "recorded")
LONG = {
    "outcome": "verdict: go, wait, stop",
    "tools": ["get_order(order): limit=1|2, customer, select", "get_customer(customer): tier=gold|tin|none, group"],
    "hidden": ["auditor", "margin"],
    "turns": 5,
}
SHORT = {"outcome": "word: yes, no", "tools": ["look(thing): colour=red|blue"], "hidden": [], "turns": 2}


CODE = {
    "outcome": "total(values)",
    "tools": ["write_file", "run_tests", "run_python"],
    "hidden": ["author"],
    "turns": 4,
}


def answers_for(kit: str, given: dict[str, object]) -> Answers | CodeAnswers:
    if kit == "verifiable":
        return read_code_answers("night-shift", **CODE)  # type: ignore[arg-type]
    return read_answers("night-shift", kit=kit, **given)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("kit", [*KITS, "verifiable"])
@pytest.mark.parametrize("given", [LONG, SHORT], ids=["long", "short"])
def test_what_is_written_is_python_in_good_form(kit: str, given: dict[str, object], tmp_path: Path) -> None:
    for name, text in render(answers_for(kit, given)).items():
        assert not re.search(r"\$\w", text.replace("$BIN", "")), name
        if name.endswith(".py"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    ruff = [sys.executable, "-m", "ruff"]
    rules = ["--line-length=120", "--target-version=py311", "--isolated"]
    for command in (["format", "--check", *rules], ["check", "--select=E,F,I,B,UP,SIM,C4", *rules]):
        done = subprocess.run([*ruff, *command, tmp_path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("given", [LONG, SHORT], ids=["long", "short"])
def test_the_made_up_table_is_even_and_no_fact_alone_decides(given: dict[str, object]) -> None:
    answers = read_answers("night-shift", kit="plain", **given)  # type: ignore[arg-type]
    decisive, table = invent_table(answers)
    counts = [list(table.values()).count(value) for value in answers.values]
    assert max(counts) - min(counts) <= 1
    assert len(table) <= 16
    if len(decisive) > 1:
        for place in range(len(decisive)):
            outcomes = {
                value: {table[row] for row in table if row[place] == value} for value in {r[place] for r in table}
            }
            assert any(len(found) > 1 for found in outcomes.values())


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "night-shift"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is there already: choose another name"):
        write_environment(answers_for("plain", SHORT), tmp_path)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


@pytest.mark.runs
@pytest.mark.parametrize("kit", [*KITS, "verifiable"])
def test_what_is_written_works(kit: str, tmp_path: Path, child_environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "turnwright.cli"]
    given = CODE if kit == "verifiable" else LONG
    told = ["--outcome", given["outcome"], "--turns", given["turns"]]
    told += [part for column in given["hidden"] for part in ("--hidden", column)]  # type: ignore[attr-defined]
    told += [part for tool in given["tools"] for part in ("--tool", tool)]  # type: ignore[attr-defined]

    def run(*arguments: object, folder: Path) -> str:
        done = subprocess.run(
            [str(part) for part in arguments],
            cwd=folder,
            env={**child_environment, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    printed = run(*command, "init", "night-shift", "--kit", kit, *told, folder=tmp_path)
    made = tmp_path / "night-shift"
    assert "turnwright check environment.py:NightShift" in printed
    assert all((tmp_path / line).is_file() for line in printed.partition("next:")[0].splitlines())
    assert "passed" in run(*command, "check", "environment.py:NightShift", "--tasks", 40, folder=made)
    assert "3 passed" in run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=made)
    small = (
        "schedule.max_steps=1",
        "optimizer.warmup_steps=0",
        "algorithm.group_size=4",
        "algorithm.global_batch_size=4",
        "validation.val_tasks=4",
    )
    run(*command, "train", "run.toml", *small, folder=made)
    assert (made / "runs").is_dir()
