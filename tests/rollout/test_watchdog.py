"""The watchdog's thread, on a real event loop."""

import asyncio
import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from inference.playing import Plan, play
from models.tiny import tiny_policy
from rollout.desk import DONE, KEY, LOOK, TASK, Desk, Told
from turnwright.agents.builtin import LoopLimits
from turnwright.core.progress import ProgressBoard, working
from turnwright.inference.local import LocalEngine
from turnwright.rollout.runner import EpisodeLimits, run_episode
from turnwright.rollout.watchdog import watched
from turnwright.rundir.files import LineLog


class Noting(ProgressBoard):
    """A board that keeps what was begun and ended, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def begin(self, part: str, on: str) -> None:
        self.notes.append(f"{part}: {on}")
        super().begin(part, on)

    def end(self, part: str) -> None:
        self.notes.append(f"{part} ended")
        super().end(part)


def hold_up(seconds: float) -> None:
    time.sleep(seconds)


async def until(condition: list[str]) -> None:
    async with asyncio.timeout(20):
        while not any(condition):
            await asyncio.sleep(0.01)


def test_what_hangs_is_logged_shown_and_its_stacks_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    board, shown, stacks = ProgressBoard(), list[str](), tmp_path / "stacks.log"

    async def work() -> None:
        with watched(board, seconds=0.05, stacks=stacks, on_look=shown.append):
            with working(board, "tool lookup of order-4#2", "turn 3"):
                await until(shown)
            shown.clear()
            async with asyncio.timeout(20):
                while not shown or shown[-1]:
                    await asyncio.sleep(0.01)

    with caplog.at_level(logging.WARNING):
        asyncio.run(work())
    assert "watchdog: tool lookup of order-4#2 has not moved for 0 s: turn 3; give the tool a time-out" in caplog.text
    assert "watchdog: tool lookup of order-4#2 moves again" in caplog.text
    dumped = stacks.read_text()
    assert "tool lookup of order-4#2 has not moved" in dumped
    assert "test_watchdog.py" in dumped
    assert dumped.count("has not moved") == 1


def test_an_event_loop_that_is_held_up_is_named_with_the_place(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    shown = list[str]()

    async def work() -> None:
        with watched(ProgressBoard(), seconds=0.05, stacks=tmp_path / "stacks.log", on_look=shown.append):
            await asyncio.sleep(0.02)
            while not any(shown):
                hold_up(0.1)

    with caplog.at_level(logging.WARNING):
        asyncio.run(work())
    assert "watchdog: loop has not moved" in caplog.text
    assert "the event loop is held up in hold_up (test_watchdog.py:" in caplog.text
    assert "set `waits = True`" in caplog.text


def test_a_write_that_does_not_return_is_the_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    # A pipe that nobody reads from or writes to: opening it waits, as a network disk does that is away.
    path = tmp_path / "metrics.jsonl"
    os.mkfifo(path)

    def look(message: str) -> None:
        if message and not answering.is_set():
            answering.set()
            threading.Thread(target=answer).start()

    def answer() -> None:
        os.close(os.open(path, os.O_WRONLY))  # lets it look for a torn line
        os.close(os.open(path, os.O_RDONLY))  # lets it append

    answering = threading.Event()

    async def work() -> None:
        with watched(ProgressBoard(), seconds=0.05, stacks=tmp_path / "stacks.log", on_look=look):
            await asyncio.sleep(0.02)
            LineLog(path).close()  # which cannot sync a pipe

    with suppress(OSError), caplog.at_level(logging.WARNING):
        asyncio.run(work())
    assert answering.is_set()
    assert "watchdog: disk has not moved" in caplog.text
    assert "_cut_torn_tail (files.py:" in caplog.text
    assert "is a network disk away?" in caplog.text


def test_a_disk_that_takes_nothing_does_not_end_the_watch(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    looks = list[str]()

    def full(message: str) -> None:
        looks.append("looked")
        raise OSError(28, "No space left on device")

    async def work() -> None:
        with watched(ProgressBoard(), seconds=0.02, stacks=tmp_path / "stacks.log", on_look=full):
            async with asyncio.timeout(20):
                while len(looks) < 3:
                    await asyncio.sleep(0.01)

    asyncio.run(work())
    assert "cannot write what it sees: [Errno 28] No space left on device" in caplog.text


def test_an_episode_says_what_its_environment_and_its_tools_are_at():
    board = Noting()
    limits = EpisodeLimits(loop=LoopLimits(max_turns=4))
    asyncio.run(run_episode(Desk(), TASK, KEY, Told(LOOK, DONE), limits, seed=1, progress=board))
    assert board.notes == [
        "environment of order-4#2: open",
        "environment of order-4#2 ended",
        "tool look of order-4#2: turn 0",
        "tool look of order-4#2 ended",
        "environment of order-4#2: reward",
        "environment of order-4#2 ended",
    ]
    assert board.look() == {}


def test_the_engine_says_when_a_pass_begins_and_ends():
    board = Noting()

    async def work() -> None:
        engine = LocalEngine(tiny_policy(), kv_memory_mb=4)
        engine.progress = board
        await play(engine, Plan(key=KEY, opening=(9, 10, 11), forced=()))
        await engine.close()

    asyncio.run(work())
    assert set(board.notes) == {"engine: a pass over 1 sequences", "engine ended"}
    assert board.notes[-1] == "engine ended"
    assert board.look() == {}
