"""A view that follows a run directory: everything once and in order, whatever failed in between."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking.running import create_run, write_step
from turnwright.core.episode import Episode
from turnwright.rundir import RunLayout, RunReader, RunWriter
from turnwright.tracking.following import Follower, missed_since, num_missed, read_position
from turnwright.tracking.spans import Folder


class Memory:
    """A view that remembers, and refuses the calls whose numbers it is given."""

    def __init__(self, name: str = "memory run-1", *, refuses: frozenset[int] = frozenset()) -> None:
        self.name = name
        self.entries: list[str] = []
        self.refuses = refuses
        self.calls = 0

    def metrics(self, step: int, values: dict[str, float], *, when: float) -> None:
        self._take(f"metrics {step} {values}")

    def episode(self, episode: Episode, *, folder: Folder, step: int, ended: float) -> None:
        self._take(f"{folder} {step} {episode.key}")

    def close(self, *, completed: bool) -> None:
        self._take(f"closed, completed={completed}")

    def _take(self, entry: str) -> None:
        self.calls += 1
        if self.calls in self.refuses:
            raise ConnectionError("the server is away")
        if entry not in self.entries:  # the same again changes nothing, as in MLflow
            self.entries.append(entry)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    with create_run(tmp_path / "demo") as writer:
        yield writer


def follower_of(writer: RunWriter, view: Memory, *, traces_per_step: int = 0) -> Follower:
    return Follower(writer.layout, lambda: view, traces_per_step=traces_per_step)


def test_a_step_is_its_metrics_then_its_first_episodes_then_its_validation(
    writer: RunWriter, group: tuple[Episode, ...]
):
    writer.validation(1, group[0])
    write_step(writer, 1, group, loss=0.5)
    view = Memory()
    follower_of(writer, view, traces_per_step=3).catch_up()
    assert view.entries == [
        "metrics 1 {'loss': 0.5}",
        "trajectories 1 order-4#10",
        "trajectories 1 order-4#11",
        "trajectories 1 order-5#10",
        "validation 1 order-5#1",
    ]


def test_steps_are_shown_once_as_they_come(writer: RunWriter):
    view, told = Memory(), list[int]()
    follower = follower_of(writer, view)
    for step in (1, 2, 3):
        writer.metrics(step, {"loss": 1 / step})
        follower.catch_up(told.append)
        follower.catch_up(told.append)
    assert told == [1, 2, 3]
    assert view.calls == 3
    assert follower.step == 3


def test_another_process_goes_on_where_the_last_one_stopped(writer: RunWriter):
    view = Memory()
    writer.metrics(1, {"loss": 1.0})
    follower_of(writer, view).catch_up()
    writer.metrics(2, {"loss": 0.5})
    assert num_missed(writer.layout) == 1
    later = Memory()
    follower_of(writer, later).catch_up()
    assert later.entries == ["metrics 2 {'loss': 0.5}"]
    assert num_missed(writer.layout) == 0


def test_a_view_that_is_another_one_is_shown_everything(writer: RunWriter):
    for step in (1, 2):
        writer.metrics(step, {})
    follower_of(writer, Memory()).catch_up()
    moved = Memory("memory run-2")
    follower_of(writer, moved).catch_up()
    assert moved.entries == ["metrics 1 {}", "metrics 2 {}"]
    assert read_position(writer.layout).view == "memory run-2"


def test_steps_that_a_resumed_run_took_back_are_not_shown_any_more(writer: RunWriter, group: tuple[Episode, ...]):
    root = writer.layout.root
    write_step(writer, 1, group, loss=1.0)
    write_step(writer, 2, group, loss=2.0)
    writer.close()
    with RunWriter.resume(root, step=0) as resumed:
        write_step(resumed, 1, group, loss=3.0)
        view = Memory()
        follower_of(resumed, view).catch_up()
        assert view.entries == ["metrics 1 {'loss': 3.0}"]
        assert [missed.step for missed in missed_since(RunLayout(root), 0)] == [1]
    assert len(RunReader(root).metrics()) == 1


def test_a_torn_line_is_no_step_yet(writer: RunWriter):
    writer.metrics(1, {})
    with writer.layout.metrics.open("ab") as file:
        file.write(b'{"step": 2, "ti')
    assert [missed.step for missed in missed_since(writer.layout, 0)] == [1]


def test_a_position_that_cannot_be_read_is_none(writer: RunWriter):
    writer.metrics(1, {})
    writer.layout.tracking.write_text("{torn")
    assert num_missed(writer.layout) == 1


@given(refuses=st.sets(st.integers(1, 12)), writes=st.lists(st.integers(0, 3), max_size=4))
@settings(max_examples=15, deadline=None)
def test_whatever_fails_everything_is_shown_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, refuses: set[int], writes: list[int]
):
    """Between two tries that may fail, so many steps are written; each try is a new process's."""
    view = Memory(refuses=frozenset(refuses))
    with create_run(tmp_path_factory.mktemp("run") / "demo") as writer:
        step = 0
        for count in [*writes, *[0] * 13]:
            for _ in range(count):
                step += 1
                writer.metrics(step, {})
            try:
                follower_of(writer, view).catch_up()
            except ConnectionError:
                continue
        assert view.entries == [f"metrics {number} {{}}" for number in range(1, step + 1)]
