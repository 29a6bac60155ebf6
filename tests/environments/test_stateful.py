"""Resources belong to one episode: from the seed, apart from all others, and gone whatever ended it."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from environments.ledger import (
    NUM_EPISODES,
    NUM_KILLED,
    SCHEMA,
    TASKS,
    Ledger,
    draw_kills,
    fill,
    play_ledgers,
    responses,
    without_latency,
)
from turnwright.core.episode import Episode
from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.outcome import Failed, Rewarded
from turnwright.core.task import Split, Task
from turnwright.environments.resources.base import Resource
from turnwright.environments.resources.sqlite import SqliteFile
from turnwright.environments.stateful import StatefulEnvironment

TASK = Task(id="t", prompt="")
FOREVER = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


class Noted(Resource[str]):
    """Notes what becomes of it, and raises where it is told to."""

    def __init__(self, name: str, log: list[str], *, fails: str = "") -> None:
        self._name, self._log, self._fails = name, log, fails

    @contextmanager
    def opened(self, task: Task, seed: int) -> Iterator[str]:
        if self._fails == "open":
            raise OSError(f"{self._name} does not open")
        self._log.append(f"+{self._name}")
        try:
            yield f"{self._name} of {task.id}"
        finally:
            self._log.append(f"-{self._name}")
            if self._fails == "close":
                raise OSError(f"{self._name} does not close")


class Plain(StatefulEnvironment):
    """An environment of whatever resources it is given."""

    def __init__(self, **resources: Resource[Any]) -> None:
        self.resources = resources

    def tasks(self, split: Split) -> list[Task]:
        return [TASK]

    def reward(self, episode: Episode) -> float:
        return 0.0


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that temporary folders go to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def ledger() -> Ledger:
    return Ledger(SqliteFile(SCHEMA, fill=fill), now="CURRENT_TIMESTAMP", forever=FOREVER)


def test_resources_open_in_order_and_close_in_reverse() -> None:
    log: list[str] = []
    environment = Plain(one=Noted("one", log), two=Noted("two", log)).for_episode()
    environment.open(TASK, 0)
    assert (environment.resource("one"), vars(environment)["two"]) == ("one of t", "two of t")
    environment.close()
    environment.close()
    assert log == ["+one", "+two", "-two", "-one"]


def test_what_opened_is_closed_when_another_resource_fails_to_open() -> None:
    log: list[str] = []
    environment = Plain(one=Noted("one", log), two=Noted("two", log, fails="open")).for_episode()
    with pytest.raises(OSError, match="two does not open"):
        environment.open(TASK, 0)
    assert log == ["+one", "-one"]
    environment.close()
    assert log == ["+one", "-one"]


def test_a_resource_that_does_not_close_keeps_no_other_from_closing() -> None:
    log: list[str] = []
    resources = {name: Noted(name, log, fails="close" if name == "two" else "") for name in ("one", "two", "three")}
    environment = Plain(**resources).for_episode()
    environment.open(TASK, 0)
    with pytest.raises(OSError, match="two does not close"):
        environment.close()
    assert log[3:] == ["-three", "-two", "-one"]


def test_opening_again_closes_what_was_open() -> None:
    log: list[str] = []
    environment = Plain(one=Noted("one", log)).for_episode()
    environment.open(TASK, 0)
    environment.open(TASK, 0)
    environment.close()
    assert log == ["+one", "-one"] * 2


def test_an_unknown_or_closed_resource_names_those_that_are_open() -> None:
    environment = Plain(one=Noted("one", [])).for_episode()
    with pytest.raises(KeyError, match="the episode is not open"):
        environment.resource("one")
    environment.open(TASK, 0)
    with pytest.raises(KeyError, match="'tow'; it has: one"):
        environment.resource("tow")


@pytest.mark.parametrize("name", ["tools", "seed", "two words"])
def test_a_resource_must_not_hide_what_the_environment_has(name: str) -> None:
    environment = Plain(**{name: Noted("", [])}).for_episode()
    with pytest.raises(EnvironmentLoadError, match=f"cannot have a resource '{name}'"):
        environment.open(TASK, 0)


def test_a_resource_without_state_says_how_to_give_it_one() -> None:
    environment = Plain(one=Noted("one", [])).for_episode()
    environment.open(TASK, 0)
    with pytest.raises(NotImplementedError, match="Noted has no state"):
        environment.state_of("one")


@pytest.mark.slow
def test_many_episodes_at_once_leave_nothing_and_go_as_they_go_alone(temporary: Path) -> None:
    prototype, kills = ledger(), draw_kills()
    threads, descriptors = set(threading.enumerate()), open_files()
    together = play_ledgers(prototype, TASKS, kills)
    assert len(together) == NUM_EPISODES

    survivors = [episode for episode in together if isinstance(episode, Episode) and episode.key.task_id not in kills]
    assert len(survivors) == NUM_EPISODES - NUM_KILLED
    assert {type(episode.outcome) for episode in survivors} == {Rewarded}
    alone = [play_ledgers(ledger(), [episode.task], {})[0] for episode in survivors]
    assert [without_latency(episode) for episode in survivors] == [
        without_latency(episode) for episode in alone if isinstance(episode, Episode)
    ]
    assert len({responses(episode)[-1].content for episode in survivors}) == len(survivors)

    ended = dict(zip((task.id for task in TASKS), together, strict=True))
    for name, (kind, turn) in kills.items():
        episode = ended[name]
        if kind == "stall":
            assert isinstance(episode, BaseException)
            continue
        assert isinstance(episode, Episode)
        assert isinstance(episode.outcome, Failed)
        assert episode.outcome.cause == ("tool_error" if kind == "crash" else "tool_timeout")
        # On a busy machine the short limit of the tool that hangs may end an earlier one.
        assert len(episode.turns) == turn + 1 or (kind == "hang" and 0 < len(episode.turns) <= turn)

    assert list(temporary.iterdir()) == []
    # What earlier tests left may end meanwhile.
    assert set(threading.enumerate()) <= threads
    assert open_files() <= descriptors


def open_files() -> set[str]:
    """Return what the descriptors of this process lead to, without pipes and sockets."""
    found: set[str] = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("/") and not target.startswith("/proc/"):
            found.add(target)
    return found
