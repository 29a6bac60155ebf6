"""A run that is being written, as somebody sees it who looks from outside."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracking.conftest import make_episode
from turnwright.config import resolve_values
from turnwright.core.errors import RunDirectoryError
from turnwright.core.finding import Finding
from turnwright.core.group import Attempt
from turnwright.core.task import Task
from turnwright.core.trajectory import Trajectory
from turnwright.rundir import RunWriter, collect_manifest
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.records import BatchGroup
from turnwright.rundir.tasks import record_tasks
from turnwright.tracking.live import LineCounter, LiveRun
from turnwright.tracking.picture import PATIENCE

CONFIG = resolve_values(
    {
        "environment": {"name": "orders"},
        "algorithm": {"group_size": 4, "global_batch_size": 4},
        "schedule": {"max_steps": 20},
        "async_config": {"max_steps_off_policy": 2},
    },
    source="run.toml",
)
STEP = {"timing_s/step": 3.0, "rollout/reward/mean": 0.5}


class Clock:
    """Seconds since the epoch: as late as the newest file below a folder, and what passes besides."""

    def __init__(self, root: Path) -> None:
        self.root, self.passed = root, 0.0

    def __call__(self) -> float:
        return max(path.stat().st_mtime for path in self.root.rglob("*")) + self.passed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "demo"


@pytest.fixture
def writer(root: Path) -> Iterator[RunWriter]:
    with RunWriter.create(root, config=CONFIG, manifest=collect_manifest(name="demo", seed=1)) as writer:
        yield writer


@pytest.fixture
def clock(root: Path) -> Clock:
    return Clock(root)


@pytest.fixture
def live(writer: RunWriter, clock: Clock) -> LiveRun:
    return LiveRun(writer.layout.root, clock=clock)


def attempt(number: int) -> Attempt:
    episode = make_episode(attempt=number)
    return Attempt(episode=episode, trajectory=Trajectory(key=episode.key))


def test_a_run_that_has_just_begun(live: LiveRun, root: Path):
    picture = live.look()
    assert (picture.name, picture.path, picture.state, picture.step, picture.launch) == ("demo", root, "starting", 0, 1)
    assert (picture.num_steps, picture.is_last_step_known, picture.staleness_bound) == (20, False, 2)
    assert (picture.metrics, picture.seconds_left, picture.open_groups, picture.findings) == ((), None, 0, ())
    assert not picture.is_over


def test_what_is_written_is_in_the_next_picture(live: LiveRun, writer: RunWriter):
    writer.metrics(1, STEP)
    writer.status("rollout", 2, message="nothing has moved for 5 minutes")
    writer.finding(Finding(code="reward.flat", severity="warning", where="step 1", evidence="flat", cure="wait"))
    picture = live.look()
    assert (picture.state, picture.step, picture.message) == ("rollout", 2, "nothing has moved for 5 minutes")
    assert (picture.recent.step, picture.recent.reward) == (1, 0.5)
    assert [finding.code for finding in picture.findings] == ["reward.flat"]
    writer.metrics(2, STEP)
    assert [line["step"] for line in live.look().metrics] == [1, 2]


def test_the_last_step_follows_from_the_tasks(live: LiveRun, root: Path):
    tasks = [Task(id=f"order-{i}", prompt="") for i in range(35)]
    record_tasks(RunLayout(root), {"train": tasks, "test": tasks})
    picture = live.look()
    # One pass, four groups per step.
    assert (picture.num_steps, picture.is_last_step_known) == (8, True)


def test_open_groups_and_their_ended_attempts_are_counted(live: LiveRun, writer: RunWriter):
    for number in (0, 1):
        writer.open_group(BatchGroup(number=number, task="order-4", domain="", epoch=number))
    writer.attempt(0, attempt(0))
    picture = live.look()
    assert (picture.open_groups, picture.ended_attempts, picture.wanted_attempts) == (2, 1, 8)
    writer.attempt(1, attempt(4))
    writer.attempt(1, attempt(5))
    assert live.look().ended_attempts == 3


def test_the_time_that_is_left_passes_until_the_step_is_late(live: LiveRun, writer: RunWriter, clock: Clock):
    writer.metrics(1, STEP)
    (record,) = live.look().metrics
    reported = clock() - record["time"]
    left: list[float | None] = []
    for clock.passed in (0.0, 2.0, 9.0):
        left.append(live.look().seconds_left)
    # 19 steps of 3 s each; one that takes longer than that counts as about to end.
    assert left == pytest.approx([57.0 - reported, 55.0 - reported, 54.0], abs=0.01)


def test_a_sign_of_life_is_whatever_is_written(live: LiveRun, writer: RunWriter, clock: Clock):
    status = json.loads(writer.layout.status.read_text())
    writer.layout.status.write_text(json.dumps(status | {"heartbeat": 1000.0}) + "\n")
    for path in [writer.layout.root, *writer.layout.root.rglob("*")]:
        os.utime(path, (1000.0, 1000.0))
    clock.passed = 40.0
    assert live.look().silent_seconds == 40.0
    writer.open_group(BatchGroup(number=0, task="order-4", domain="", epoch=0))
    clock.passed = 7.0
    assert live.look().silent_seconds == 7.0


def test_a_run_without_a_process_is_interrupted_and_over_when_nobody_goes_on_with_it(
    live: LiveRun, writer: RunWriter, clock: Clock
):
    writer.status("update", 3)
    assert live.look().state == "update"
    writer.close()
    assert (live.look().state, live.look().is_over) == ("interrupted", False)
    clock.passed = PATIENCE + 1.0
    picture = live.look()
    assert (picture.state, picture.is_over, picture.step) == ("interrupted", True, 3)


def test_on_another_machine_only_silence_tells_that_a_run_is_interrupted(root: Path, clock: Clock):
    manifest = collect_manifest(name="demo", seed=1)
    RunWriter.create(root, config=CONFIG, manifest=manifest).close()
    text = (root / "manifest.json").read_text()
    (root / "manifest.json").write_text(text.replace(manifest.host, "elsewhere"))
    live = LiveRun(root, clock=clock)
    clock.passed = CONFIG.config.run.watchdog_seconds - 1.0
    assert live.look().state == "starting"
    clock.passed += 2.0
    assert live.look().state == "interrupted"


def test_following_ends_with_the_run_and_goes_on_when_it_is_resumed(root: Path, writer: RunWriter, live: LiveRun):
    writer.metrics(0, {"val/reward/mean": 0.1})
    writers = [writer]

    def resume() -> None:
        writers.append(RunWriter.resume(root, step=0))

    acts = iter(
        [
            lambda: writer.status("rollout", 1),
            writer.close,
            resume,
            lambda: writers[-1].metrics(1, STEP),
            lambda: writers[-1].status("finished", 1),
        ]
    )
    seen = [
        (picture.state, picture.launch, len(picture.metrics)) for picture in live.follow(sleep=lambda _: next(acts)())
    ]
    writers[-1].close()
    assert seen == [
        ("starting", 1, 1),
        ("rollout", 1, 1),
        ("interrupted", 1, 1),
        ("starting", 2, 1),
        ("starting", 2, 2),
        ("finished", 2, 2),
    ]


def test_a_run_that_is_deleted_or_cannot_be_read_is_an_error(root: Path, writer: RunWriter, live: LiveRun):
    writer.layout.metrics.mkdir()
    with pytest.raises(RunDirectoryError, match=r"cannot be read: .*metrics\.jsonl"):
        live.look()
    writer.layout.manifest.unlink()
    with pytest.raises(RunDirectoryError, match="is gone: it was moved or deleted"):
        live.look()


def test_only_new_lines_are_read_and_only_whole_ones_count(tmp_path: Path):
    counter = LineCounter(tmp_path / "groups")
    assert counter.count() == (0, 0)
    (tmp_path / "groups").mkdir()
    first, second = tmp_path / "groups" / "000001.jsonl", tmp_path / "groups" / "000002.jsonl"
    first.write_bytes(b"a\nb\nc")
    assert counter.count() == (1, 2)
    with first.open("ab") as file:
        file.write(b"c\nd")
    second.write_bytes(b"a\n")
    assert counter.count() == (2, 4)
    # A torn line was cut off, and the file is shorter than it was.
    first.write_bytes(b"a\n")
    assert counter.count() == (2, 2)
    first.unlink()
    assert counter.count() == (1, 1)
