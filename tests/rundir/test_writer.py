import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rundir.attempts import make_attempt
from turnwright.config import ResolvedConfig
from turnwright.core.errors import RunDirectoryError
from turnwright.core.finding import Finding
from turnwright.rundir import RunReader, RunWriter, collect_manifest
from turnwright.rundir.records import BatchGroup, BatchRecord


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def run_steps(writer: RunWriter, first: int, last: int) -> None:
    for step in range(first, last + 1):
        writer.attempt(step, make_attempt(f"task-{step}"))
        writer.close_step(step)
        writer.metrics(step, {"training/loss": 1 / step})


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


def test_attempts_of_a_running_step_are_readable_at_once(writer: RunWriter, root: Path) -> None:
    attempts = (make_attempt("a"), make_attempt("b", calls=0), make_attempt("a", 1))
    for attempt in attempts:
        writer.attempt(1, attempt)
    assert RunReader(root).unfinished_attempts(1) == attempts


def test_an_attempt_whose_episode_was_not_written_does_not_count(writer: RunWriter, root: Path) -> None:
    writer.attempt(1, make_attempt("a"))
    writer.attempt(1, make_attempt("b"))
    episodes = writer.layout.episodes(1)
    episodes.write_bytes(episodes.read_bytes()[:-10])
    assert [str(attempt.episode.key) for attempt in RunReader(root).unfinished_attempts(1)] == ["a#0"]


def test_closing_a_step_turns_the_journal_into_parquet(writer: RunWriter, root: Path) -> None:
    attempts = [make_attempt("a", calls=2), make_attempt("b", calls=0), make_attempt("a", 1)]
    for attempt in attempts:
        writer.attempt(12, attempt)
    writer.close_step(12)
    assert names(root / "trajectories") == ["step_000012.parquet"]
    reader = RunReader(root)
    assert list(reader.attempts(12)) == attempts
    assert reader.unfinished_attempts(12) == ()
    assert [t.key.attempt for t in reader.trajectories(12)] == [0, 1]


def test_a_closed_step_cannot_change(writer: RunWriter, root: Path) -> None:
    writer.attempt(1, make_attempt("a"))
    writer.close_step(1)
    with pytest.raises(RunDirectoryError, match=r"step 1 .* is closed"):
        writer.attempt(1, make_attempt("b"))
    with pytest.raises(RunDirectoryError, match=r"step 1 .* is closed"):
        writer.close_step(1)
    assert list(RunReader(root).attempts(1)) == [make_attempt("a")]


def test_the_last_record_of_an_attempt_counts(writer: RunWriter, root: Path) -> None:
    for reward in (0.0, 1.0):
        writer.attempt(1, make_attempt("a", reward=reward))
    writer.close_step(1)
    (attempt,) = RunReader(root).attempts(1)
    assert attempt == make_attempt("a", reward=1.0)


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
    assert names(checkpoint.path) == ["model.safetensors"]
    with pytest.raises(RunDirectoryError, match="already exists"):
        save(writer, 1)


def test_a_resumed_run_takes_back_what_came_after_the_checkpoint(writer: RunWriter, root: Path) -> None:
    run_steps(writer, 1, 2)
    save(writer, 2)
    writer.validation(2, make_attempt("v").episode)
    run_steps(writer, 3, 4)
    writer.validation(4, make_attempt("v").episode)
    writer.attempt(5, make_attempt("torn off"))
    writer.close()

    with RunWriter.resume(root, step=2) as resumed:
        reader = RunReader(root)
        assert [m["step"] for m in reader.metrics()] == [1, 2]
        assert (reader.episode_steps(), reader.validation_steps()) == ((1, 2), (2,))
        assert [c.step for c in reader.checkpoints()] == [2]
        assert names(root / "superseded" / "attempt_2") == [
            "episodes/step_000003.jsonl",
            "episodes/step_000004.jsonl",
            "episodes/step_000005.jsonl",
            "trajectories/step_000003.parquet",
            "trajectories/step_000004.parquet",
            "trajectories/step_000005.jsonl",
            "validation/step_000004.jsonl",
        ]
        resumed.metrics(3, {"training/loss": 9.0})
        assert [(m["step"], m["training/loss"]) for m in reader.metrics()] == [(1, 1.0), (2, 0.5), (3, 9.0)]
        assert (root / "logs" / "latest").resolve() == (root / "logs" / "attempt_2").resolve()


def test_metrics_are_only_ever_appended_to(writer: RunWriter, root: Path) -> None:
    run_steps(writer, 1, 3)
    writer.close()
    before = (root / "metrics.jsonl").read_bytes()
    RunWriter.resume(root, step=1).close()
    after = (root / "metrics.jsonl").read_bytes()
    assert after.startswith(before)
    assert json.loads(after[len(before) :])["resumed_after_step"] == 1


def test_attempts_sampled_by_the_checkpoint_survive_a_resume(writer: RunWriter, root: Path) -> None:
    run_steps(writer, 1, 2)
    save(writer, 2)
    writer.attempt(3, make_attempt("a"))
    writer.close()
    with RunWriter.resume(root, step=2) as resumed:
        assert RunReader(root).unfinished_attempts(3) == (make_attempt("a"),)
        resumed.attempt(3, make_attempt("b"))
        resumed.close_step(3)
    assert list(RunReader(root).attempts(3)) == [make_attempt("a"), make_attempt("b")]


def test_attempts_of_a_policy_that_is_gone_do_not_survive(writer: RunWriter, root: Path) -> None:
    run_steps(writer, 1, 2)
    writer.attempt(3, make_attempt("a"))
    writer.close()
    RunWriter.resume(root, step=1).close()
    assert RunReader(root).unfinished_attempts(3) == ()


def test_a_journal_left_beside_its_parquet_is_ignored(writer: RunWriter, root: Path) -> None:
    writer.attempt(1, make_attempt("a"))
    journal = writer.layout.journal(1).read_bytes()
    writer.close_step(1)
    writer.layout.journal(1).write_bytes(journal * 2)
    assert list(RunReader(root).attempts(1)) == [make_attempt("a")]
    assert RunReader(root).unfinished_attempts(1) == ()


def test_findings_are_kept_in_order(writer: RunWriter, root: Path) -> None:
    findings = [
        Finding(code=code, severity="warning", where="step 3", evidence="6 %", cure="raise the cap")
        for code in ("replies.capped", "reward.flat")
    ]
    for finding in findings:
        writer.finding(finding)
    assert list(RunReader(root).findings()) == findings


def test_a_step_that_is_done_again_has_one_batch(writer: RunWriter, root: Path) -> None:
    batches = [
        BatchRecord(step=step, groups=(BatchGroup(task=f"a/{step}", domain="a", epoch=0),)) for step in (1, 2, 2, 3)
    ]
    for batch in batches:
        writer.batch(batch)
    assert RunReader(root).batches() == (batches[0], batches[2], batches[3])


def test_resuming_what_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"no manifest\.json"):
        RunWriter.resume(tmp_path, step=0)
