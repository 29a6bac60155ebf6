"""Faults of real runs: an environment that is away, a disk that is full, a tool that hangs. Nothing is lost by them."""

import ctypes
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from system.conftest import Turnwright, WriteRecipe
from turnwright.core.outcome import Failed
from turnwright.rundir import RunReader

pytestmark = pytest.mark.runs

LIBC = ctypes.CDLL(None, use_errno=True)
PATIENCE_SECONDS = 400.0


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(turnwright: Turnwright) -> Iterator[Start]:
    """Commands that run beside the test, and not longer than it."""
    processes: list[subprocess.Popen[str]] = []

    def launch(*arguments: object) -> subprocess.Popen[str]:
        process = turnwright.start(*arguments)
        processes.append(process)
        return process

    yield launch
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(run: Path, process: subprocess.Popen[str], *, phase: str = "", message: str = "") -> str:
    """Wait until the status of a run says so, and return its message."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        status = RunReader(run).status() if (run / "status.json").exists() else None
        if status is not None and status.phase == (phase or status.phase) and message in status.message:
            return status.message
        if process.poll() is not None:
            out, err = process.communicate()
            raise AssertionError(f"ended first: {status} {out} {err}")
        time.sleep(0.05)
    raise AssertionError(f"{phase!r} with {message!r} never came: {status}")


def test_a_run_whose_environment_is_away_pauses_and_goes_on_with_whole_groups(
    start: Start, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    away.touch()
    recipe = write_recipe("Away", options=f'{{ flag = "{away}" }}')
    process = start("train", recipe, "run.name=away", "schedule.val_every=0")
    run = tmp_path / "runs" / "away"
    said = wait_for(run, process, phase="paused")
    assert "environment_error" in said
    assert "ConnectionError: the world is away" in said
    assert "the next probe is due in" in said
    away.unlink()
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, out + err
    assert "warning: paused: " in err
    assert "warning: a probe has succeeded: the run goes on" in err
    reader = RunReader(run)
    assert [line["step"] for line in reader.metrics()] == [1, 2]
    for step in (1, 2):
        episodes = list(reader.episodes(step))
        assert len(episodes) == 8
        assert not any(isinstance(episode.outcome, Failed) for episode in episodes)


def test_a_full_disk_stops_the_run_and_it_goes_on_when_there_is_room(
    turnwright: Turnwright, write_recipe: WriteRecipe, small_disk: Path
) -> None:
    settings = ("run.name=full", f"run.output_dir={small_disk}", "schedule.max_steps=4", "schedule.save_every=4")
    (small_disk / "filler").write_bytes(bytes(2**20))
    done = turnwright("train", write_recipe(), *settings, "schedule.keep_last=1")
    assert done.code == 1
    assert "No space left on device" in done.err
    assert "then continue with --resume" in done.err
    run = small_disk / "full"
    before = {int(line["step"]) for line in RunReader(run).metrics()}
    (small_disk / "filler").unlink()
    assert not LIBC.mount(b"tmpfs", os.fsencode(small_disk), b"tmpfs", 32, b"size=256m")
    resumed = turnwright("train", "--resume", run)
    assert resumed.code == 0, resumed.err
    reader = RunReader(run)
    assert {int(line["step"]) for line in reader.metrics()} == {0, 1, 2, 3, 4} >= before
    keys = [episode.key for step in (1, 2, 3, 4) for episode in reader.episodes(step)]
    assert len(keys) == len(set(keys)) == 32


def test_a_tool_that_hangs_is_named_while_the_run_waits(
    start: Start, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    away = tmp_path / "hangs"
    away.touch()
    recipe = write_recipe("Slow", options=f'{{ flag = "{away}" }}')
    process = start("train", recipe, "run.name=hangs", "run.watchdog_seconds=1", "schedule.val_every=0")
    run = tmp_path / "runs" / "hangs"
    # The eight of a step begin one after the other, so they are not all late at once.
    said = wait_for(run, process, message="(and 7 more) has not moved for")
    assert "environment of train-" in said
    assert "open; look at what its open or reward waits for" in said
    away.unlink()
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, out + err
    assert "warning: watchdog: environment of train-" in err
    logs = run / "logs" / "attempt_1"
    assert "environment of train-" in (logs / "stacks.log").read_text()
    assert "watchdog: environment of train-" in (logs / "run.log").read_text()
    assert "moves again" in (logs / "run.log").read_text()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds a run and none of its checkpoints."""
    place = tmp_path / "disk"
    place.mkdir()
    if LIBC.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, b"size=1400k"):
        pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
    yield place
    LIBC.umount2(os.fsencode(place), 2)
