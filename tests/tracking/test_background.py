import threading
import time
from collections.abc import Mapping

import pytest

from turnwright.core.episode import Episode
from turnwright.tracking.background import BackgroundSink
from turnwright.tracking.spans import Folder


class Memory:
    """A view that remembers, and can be held up or broken."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.broken = False

    def metrics(self, step: int, values: Mapping[str, float], *, when: float) -> None:
        self.go.wait(5)
        if self.broken:
            raise RuntimeError("the disk is full")
        self.entries.append(f"metrics {step} {dict(values)}")

    def episode(self, episode: Episode, *, folder: Folder, step: int, ended: float) -> None:
        self.entries.append(f"{folder} {step} {episode.key}")

    def close(self, *, completed: bool) -> None:
        self.entries.append(f"closed, completed={completed}")


def open_sink(view: Memory, *, capacity: int = 64) -> BackgroundSink:
    return BackgroundSink(lambda: view, num_steps=2, traces_per_step=3, capacity=capacity)


def test_entries_arrive_in_order_and_closing_waits_for_them():
    view = Memory()
    sink = open_sink(view)
    for step in (1, 2):
        sink.metrics(step, {"loss": 0.5})
    sink.close()
    sink.close()
    assert view.entries == ["metrics 1 {'loss': 0.5}", "metrics 2 {'loss': 0.5}", "closed, completed=True"]


def test_a_run_that_was_cut_short_is_not_completed():
    view = Memory()
    sink = open_sink(view)
    sink.metrics(1, {})
    sink.close()
    assert view.entries[-1] == "closed, completed=False"


def test_training_shows_the_first_attempts_and_validation_all(group: tuple[Episode, ...]):
    view = Memory()
    sink = open_sink(view)
    sink.episodes(1, group, folder="trajectories")
    sink.episodes(1, group, folder="validation")
    sink.close()
    assert view.entries[:3] == [f"trajectories 1 {key}" for key in ("order-4#0", "order-4#1", "order-5#0")]
    assert len([entry for entry in view.entries if entry.startswith("validation")]) == 4


def test_later_changes_to_the_callers_numbers_are_not_seen():
    view = Memory()
    view.go.clear()
    sink, values = open_sink(view), {"loss": 0.5}
    sink.metrics(1, values)
    values["loss"] = 9.0
    view.go.set()
    sink.close()
    assert view.entries[0] == "metrics 1 {'loss': 0.5}"


def test_a_slow_view_holds_nobody_up_and_what_does_not_fit_is_counted(caplog: pytest.LogCaptureFixture):
    view = Memory()
    view.go.clear()
    sink = open_sink(view, capacity=2)
    started = time.monotonic()
    for step in range(50):
        sink.metrics(step, {})
    assert time.monotonic() - started < 0.5
    assert sink.dropped >= 47
    view.go.set()
    sink.close()
    assert f"tracking dropped {sink.dropped} entries" in caplog.text


def test_a_broken_view_ends_nothing_and_is_logged_once(caplog: pytest.LogCaptureFixture):
    view = Memory()
    view.broken = True
    sink = open_sink(view)
    for step in range(3):
        sink.metrics(step, {})
    sink.close()
    assert sink.dropped == 3
    assert "the disk is full" in caplog.text
    assert caplog.text.count("tracking lost an entry") == 1
    assert view.entries == ["closed, completed=True"]


def test_a_view_that_does_not_open_turns_tracking_off(caplog: pytest.LogCaptureFixture):
    def refuse() -> Memory:
        raise OSError("no route to host")

    sink = BackgroundSink(refuse, num_steps=1, traces_per_step=1)
    sink.metrics(1, {})
    sink.close()
    assert "tracking is off" in caplog.text
    assert sink.dropped == 1
