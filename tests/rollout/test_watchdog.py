"""The watchdog's thread, on a real event loop."""

import asyncio
import logging
import time
from pathlib import Path

import pytest

from turnwright.core.progress import ProgressBoard, working
from turnwright.rollout.watchdog import watched


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
    assert "it is held up in hold_up (test_watchdog.py:" in caplog.text
    assert "set `waits = True`" in caplog.text


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
