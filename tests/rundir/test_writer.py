import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rundir.attempts import make_attempt, make_group, record, take_step
from turnwright.config import ResolvedConfig
from turnwright.core.errors import RunDirectoryError
from turnwright.core.finding import Finding
from turnwright.rundir import RunReader, RunWriter, collect_manifest


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def save(writer: RunWriter, step: int) -> None:
    with writer.checkpoint(step) as folder:
        (folder / "model.safetensors").write_text(f"weights of {step}")
        (folder / "resume").mkdir()


def test_a_new_run_holds_what_it_would_take_to_do_it_again(
    writer: RunWriter, root: Path, config: ResolvedConfig
) -> None:
    reader = RunReader(root)
    assert (root / "config.toml").read_text() == "# given\n"
    assert reader.config().config == config.config
    assert reader.manifest().versions["python"].startswith("3.")
    assert (reader.manifest().seed, reader.manifest().name) == (1, "demo")
    status = reader.status()
    assert status is not None
    assert (status.phase, status.step, status.launch) == ("starting", 0, 1)
    assert time.time() - status.heartbeat < 60


def test_a_folder_with_content_is_refused_and_left_unlocked(tmp_path: Path, config: ResolvedConfig) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for _ in range(2):
        with pytest.raises(RunDirectoryError, match=r"already exists and has notes\.txt"):
            RunWriter.create(tmp_path, config=config, manifest=collect_manifest(name="demo", seed=1))


def test_two_writers_are_refused(writer: RunWriter, root: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"is being written by process \d+"):
        RunWriter.resume(root, step=0)
    writer.close()
    RunWriter.resume(root, step=0).close()


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_free(root: Path, writer: RunWriter, child_environment: dict[str, str]) -> None:
    writer.close()
    script = (
        "import sys, time; from pathlib import Path; from turnwright.rundir import RunWriter\n"
        "writer = RunWriter.resume(Path(sys.argv[1]), step=0); print('locked', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=child_environment) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert RunReader(root).is_running()
        with pytest.raises(RunDirectoryError, match=f"by process {holder.pid}"):
            RunWriter.resume(root, step=0)
        holder.kill()
    assert not RunReader(root).is_running()
    RunWriter.resume(root, step=0).close()


def test_an_attempt_is_readable_the_moment_it_is_recorded(writer: RunWriter, root: Path) -> None:
    groups = (make_group(0, "a"), make_group(1, "b"))
    for group in groups:
        writer.open_group(group)
    attempts = (make_attempt("a"), make_attempt("b", calls=0), make_attempt("a", 1, calls=3))
    for number, attempt in zip((0, 1, 0), attempts, strict=True):
        writer.attempt(number, attempt)
    first, second = RunReader(root).open_groups()
    assert (first.group, first.attempts) == (groups[0], (attempts[0], attempts[2]))
    assert (second.group, second.attempts) == (groups[1], (attempts[1],))


def test_the_last_record_of_an_attempt_counts(writer: RunWriter, root: Path) -> None:
    writer.open_group(make_group(0, "a"))
    for attempt in (make_attempt("a", reward=0.0), make_attempt("a", 1), make_attempt("a", reward=1.0)):
        writer.attempt(0, attempt)
    (group,) = RunReader(root).open_groups()
    assert group.attempts == (make_attempt("a", 1), make_attempt("a", reward=1.0))


def test_a_closed_step_has_its_groups_in_one_line_and_their_attempts_in_parquet(writer: RunWriter, root: Path) -> None:
    groups = [make_group(0, "a"), make_group(1, "b"), make_group(2, "c")]
    attempts = [make_attempt("a", calls=2), make_attempt("b", calls=0), make_attempt("a", 1)]
    for group in groups:
        writer.open_group(group)
    for number, attempt in zip((0, 1, 0), attempts, strict=True):
        writer.attempt(number, attempt)
    batch = record(12, groups[:2])
    writer.close_step(batch, attempts)
    assert names(root / "trajectories") == ["step_000012.parquet"]
    assert names(root / "groups") == ["000002.jsonl"]
    reader = RunReader(root)
    assert reader.batches() == (batch,)
    assert list(reader.attempts(12)) == attempts
    assert [t.key.attempt for t in reader.trajectories(12)] == [0, 1]
    assert [found.group for found in reader.open_groups()] == [groups[2]]


def test_a_closed_step_cannot_change(writer: RunWriter, root: Path) -> None:
    take_step(writer, 1, "a")
    with pytest.raises(RunDirectoryError, match="'a#1' came too late: group 100 is not open any more"):
        writer.attempt(100, make_attempt("a", 1))
    writer.open_group(make_group(7, "b"))
    with pytest.raises(RunDirectoryError, match=r"step 1 .* is closed"):
        writer.close_step(record(1, [make_group(7, "b")]), [])
    with pytest.raises(RunDirectoryError, match=r"group 100 of run .* is not open"):
        writer.close_step(record(2, [make_group(100, "a")]), [])
    assert list(RunReader(root).attempts(1)) == [make_attempt("a")]


def test_a_number_names_one_group(writer: RunWriter) -> None:
    writer.open_group(make_group(3, "a"))
    with pytest.raises(RunDirectoryError, match="group 3 is open already"):
        writer.open_group(make_group(3, "b"))


def test_many_open_groups_hold_no_files(writer: RunWriter, root: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(50):
        writer.open_group(make_group(number))
        writer.attempt(number, make_attempt())
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_checkpoint_appears_whole_or_not_at_all(writer: RunWriter, root: Path) -> None:
    def fail_halfway() -> None:
        with writer.checkpoint(1) as folder:
            (folder / "model.safetensors").write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_halfway()
    assert RunReader(root).checkpoints() == ()
    save(writer, 1)
    (checkpoint,) = RunReader(root).checkpoints()
    assert (checkpoint.step, checkpoint.path, checkpoint.resume) == (
        1,
        root / "checkpoints" / "step_000001",
        root / "checkpoints" / "step_000001" / "resume",
    )
    assert names(checkpoint.path) == ["manifest.json", "model.safetensors"]
    with pytest.raises(RunDirectoryError, match="already exists"):
        save(writer, 1)


def test_a_resumed_run_keeps_what_it_can_train_again(writer: RunWriter, root: Path) -> None:
    take_step(writer, 1)
    save(writer, 1)
    for step in (2, 3):
        take_step(writer, step)
    writer.open_group(make_group(400, "d", version=3))
    writer.attempt(400, make_attempt("d", versions=(2, 3)))
    writer.close()
    reader = RunReader(root)
    with RunWriter.resume(root, step=reader.closed_steps(after=1), checkpoint=1) as resumed:
        assert not (root / "superseded").exists()
        assert [m["step"] for m in reader.metrics()] == [1, 2, 3]
        assert [batch.step for batch in reader.batches()] == [1, 2, 3]
        assert [c.step for c in reader.checkpoints()] == [1]
        resumed.attempt(400, make_attempt("d", 1, versions=(3, 3)))
        (group,) = reader.open_groups()
        assert [attempt.episode.key.attempt for attempt in group.attempts] == [0, 1]
        status = reader.status()
        assert status is not None
        assert (status.step, status.launch) == (3, 2)


def test_a_resumed_run_takes_back_what_it_cannot_train_again(writer: RunWriter, root: Path) -> None:
    for step in (1, 2, 3, 4):
        take_step(writer, step)
        writer.validation(step, make_attempt("v").episode)
        writer.metrics(step, {})
        save(writer, step)
    for number, version in ((500, 2), (501, 3)):
        writer.open_group(make_group(number, version=version))
    writer.open_group(make_group(502, version=2))
    writer.attempt(502, make_attempt(versions=(2, 4)))
    writer.close()

    with RunWriter.resume(root, step=2, checkpoint=1) as resumed:
        reader = RunReader(root)
        assert [m["step"] for m in reader.metrics()] == [1, 2]
        assert [batch.step for batch in reader.batches()] == [1, 2]
        assert (reader.episode_steps(), reader.validation_steps()) == ((1, 2), (1, 2))
        assert [found.group.number for found in reader.open_groups()] == [500]
        taken_back = sorted(str(path.relative_to(root)) for path in (root / "superseded" / "attempt_2").glob("*/*"))
        prefix = "superseded/attempt_2/"
        assert [path.removeprefix(prefix) for path in taken_back] == [
            *(f"checkpoints/step_00000{step}" for step in (2, 3, 4)),
            "episodes/step_000003.jsonl",
            "episodes/step_000004.jsonl",
            "groups/000501.jsonl",
            "groups/000502.jsonl",
            "trajectories/step_000003.parquet",
            "trajectories/step_000004.parquet",
            "validation/step_000003.jsonl",
            "validation/step_000004.jsonl",
        ]
        take_step(resumed, 3, "again")
        assert [batch.groups[0].task for batch in reader.batches()] == ["task-1", "task-2", "again"]
        assert [m["training/loss"] for m in reader.metrics() if m["step"] == 3] == [1 / 3]
        assert (root / "logs" / "latest").resolve() == (root / "logs" / "attempt_2").resolve()


def test_metrics_and_batches_are_only_ever_appended_to(writer: RunWriter, root: Path) -> None:
    for step in (1, 2, 3):
        take_step(writer, step)
    writer.close()
    for name in ("metrics.jsonl", "batches.jsonl"):
        before = (root / name).read_bytes()
        RunWriter.resume(root, step=1).close()
        after = (root / name).read_bytes()
        assert after.startswith(before)
        assert json.loads(after[len(before) :])["resumed_after_step"] == 1


def test_a_validation_that_was_cut_off_is_done_again(writer: RunWriter, root: Path) -> None:
    writer.validation(0, make_attempt("v").episode)
    writer.metrics(0, {})
    take_step(writer, 1)
    groups = [make_group(200)]
    writer.open_group(groups[0])
    writer.close_step(record(2, groups, "stale"), [])
    writer.validation(2, make_attempt("v").episode)
    writer.close()
    RunWriter.resume(root, step=2).close()
    assert RunReader(root).validation_steps() == (0,)
    assert names(root / "superseded" / "attempt_2") == ["validation/step_000002.jsonl"]


def test_a_step_without_its_line_is_not_closed(writer: RunWriter, root: Path) -> None:
    take_step(writer, 1)
    left, attempt = make_group(7, "a"), make_attempt("a")
    writer.open_group(left)
    writer.attempt(7, attempt)
    file = writer.layout.group(7).read_bytes()
    writer.close_step(record(2, [left]), [attempt])
    writer.close()
    # The state of a process that was killed before the line was whole.
    writer.layout.group(7).write_bytes(file)
    batches = writer.layout.batches.read_bytes()
    writer.layout.batches.write_bytes(batches[:-5])
    reader = RunReader(root)
    assert reader.closed_steps(after=0) == 1
    with RunWriter.resume(root, step=1) as resumed:
        (found,) = reader.open_groups()
        assert (found.group, found.attempts) == (left, (attempt,))
        assert (reader.episode_steps(), list(reader.attempts(2))) == ((1,), [])
        resumed.close_step(record(2, [left]), [attempt])
    assert reader.closed_steps(after=0) == 2
    assert list(reader.attempts(2)) == [attempt]


def test_the_file_of_a_group_whose_step_is_closed_does_not_count(writer: RunWriter, root: Path) -> None:
    writer.open_group(make_group(100))
    stale = writer.layout.group(100).read_bytes()
    writer.layout.group(100).unlink()
    take_step(writer, 1)
    writer.close()
    writer.layout.group(100).write_bytes(stale)
    assert RunReader(root).open_groups() == ()
    RunWriter.resume(root, step=1).close()
    assert names(root / "groups") == []


def test_torn_lines_of_groups_are_cut_off(writer: RunWriter, root: Path) -> None:
    for number in (1, 2):
        writer.open_group(make_group(number, "a"))
        writer.attempt(number, make_attempt("a"))
    writer.close()
    whole = writer.layout.group(1).read_bytes()
    writer.layout.group(1).write_bytes(whole[:-9])
    writer.layout.group(2).write_bytes(whole[:9])
    assert [len(found.attempts) for found in RunReader(root).open_groups()] == [0]
    with RunWriter.resume(root, step=0) as resumed:
        resumed.attempt(1, make_attempt("a", 5))
        (found,) = RunReader(root).open_groups()
        assert found.attempts == (make_attempt("a", 5),)
        resumed.open_group(make_group(2, "b"))


def test_a_damaged_group_is_made_again(writer: RunWriter, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer.open_group(make_group(1, "a"))
    writer.close()
    with writer.layout.group(1).open("ab") as file:
        file.write(b"what\n")
    with pytest.raises(RunDirectoryError, match=r"000001\.jsonl' line 2 is not a record"):
        RunReader(root).open_groups()
    RunWriter.resume(root, step=0).close()
    assert "000001.jsonl' line 2 is not a record" in caplog.text
    assert names(root / "superseded") == ["attempt_2/groups/000001.jsonl"]


def test_groups_can_be_set_aside(writer: RunWriter, root: Path) -> None:
    for number in (1, 2):
        writer.open_group(make_group(number))
    writer.set_aside([1])
    assert [found.group.number for found in RunReader(root).open_groups()] == [2]
    writer.open_group(make_group(1, "again"))


def test_findings_are_kept_in_order(writer: RunWriter, root: Path) -> None:
    findings = [
        Finding(code=code, severity="warning", where="step 3", evidence="6 %", cure="raise the cap")
        for code in ("replies.capped", "reward.flat")
    ]
    for finding in findings:
        writer.finding(finding)
    assert list(RunReader(root).findings()) == findings


def test_resuming_what_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"no manifest\.json"):
        RunWriter.resume(tmp_path, step=0)
