import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracking.running import create_run
from tracking.test_following import Memory
from turnwright.core.progress import ProgressBoard
from turnwright.core.protocols import UNWATCHED, Progress
from turnwright.rundir import RunWriter
from turnwright.tracking import background
from turnwright.tracking.background import BackgroundSink
from turnwright.tracking.following import Follower


class Gated(Memory):
    """A view that can be held up and taken away."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()
        self.away = False

    def _take(self, entry: str) -> None:
        assert self.go.wait(20)
        if self.away:
            raise ConnectionError("connection refused")
        super()._take(entry)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    with create_run(tmp_path / "demo") as writer:
        yield writer


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.01)


def open_sink(writer: RunWriter, view: Memory, progress: Progress = UNWATCHED) -> BackgroundSink:
    follower = Follower(writer.layout, lambda: view, traces_per_step=0)
    return BackgroundSink(follower, name="the view", num_steps=2, cure=": mend it", progress=progress)


def report(writer: RunWriter, sink: BackgroundSink, *steps: int) -> None:
    for step in steps:
        writer.metrics(step, {"loss": 0.5})
        sink.metrics(step, {"loss": 0.5})


def wait_for(view: Memory, entries: int) -> None:
    deadline = time.monotonic() + 20
    while len(view.entries) < entries:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_steps_arrive_in_order_and_closing_waits_for_them(writer: RunWriter):
    view = Memory()
    sink = open_sink(writer, view)
    report(writer, sink, 1, 2)
    sink.close()
    sink.close()
    assert view.entries == ["metrics 1 {'loss': 0.5}", "metrics 2 {'loss': 0.5}", "closed, completed=True"]
    assert not sink.is_behind


def test_a_run_that_was_cut_short_is_not_completed(writer: RunWriter):
    view = Memory()
    sink = open_sink(writer, view)
    report(writer, sink, 1)
    sink.close()
    assert view.entries[-1] == "closed, completed=False"


def test_a_slow_view_holds_nobody_up(writer: RunWriter):
    view = Gated()
    view.go.clear()
    sink = open_sink(writer, view)
    report(writer, sink, *range(1, 51))
    assert view.entries == []
    view.go.set()
    sink.close()
    assert len(view.entries) == 51


def test_a_view_that_goes_away_is_told_of_once_and_gets_the_rest_when_it_is_back(
    writer: RunWriter, caplog: pytest.LogCaptureFixture
):
    view = Gated()
    sink = open_sink(writer, view)
    report(writer, sink, 1)
    wait_for(view, 1)
    view.away = True
    report(writer, sink, 2, 3)
    deadline = time.monotonic() + 20
    while "cannot be written" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert sink.is_behind
    view.away = False
    wait_for(view, 3)
    sink.close()
    assert view.entries == [*(f"metrics {step} {{'loss': 0.5}}" for step in (1, 2, 3)), "closed, completed=True"]
    assert caplog.text.count("the view cannot be written, the run goes on: connection refused. What it misses is") == 1
    assert "the view is back and shows the run up to step 3" in caplog.text


def test_a_run_that_ends_meanwhile_says_what_is_not_shown(writer: RunWriter, caplog: pytest.LogCaptureFixture):
    view = Gated()
    view.away = True
    sink = open_sink(writer, view)
    report(writer, sink, 1, 2)
    sink.close()
    assert sink.is_behind
    assert "the view misses 2 steps of this run: mend it" in caplog.text
    view.away = False
    again = open_sink(writer, view)
    again.close()
    assert view.entries[:2] == ["metrics 1 {'loss': 0.5}", "metrics 2 {'loss': 0.5}"]


def test_a_view_that_does_not_open_is_tried_again(writer: RunWriter, caplog: pytest.LogCaptureFixture):
    view, tries = Memory(), list[int]()

    def refuse() -> Memory:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("no route to host")
        return view

    follower = Follower(writer.layout, refuse, traces_per_step=0)
    sink = BackgroundSink(follower, name="the view", num_steps=1)
    report(writer, sink, 1)
    wait_for(view, 1)
    sink.close()
    assert caplog.text.count("no route to host") == 1
    assert view.entries == ["metrics 1 {'loss': 0.5}", "closed, completed=True"]


def test_what_hangs_is_on_the_board(writer: RunWriter):
    view, board = Gated(), ProgressBoard()
    view.go.clear()
    sink = open_sink(writer, view, progress=board)
    report(writer, sink, 1)
    deadline = time.monotonic() + 20
    while "tracking" not in board.look():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert board.look()["tracking"].on == "step 1"
    view.go.set()
    sink.close()
    assert board.look() == {}
