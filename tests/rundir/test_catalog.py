import re
from pathlib import Path

import pytest

from rundir.attempts import make_attempt, make_group
from turnwright.core.errors import ConfigError, RunDirectoryError
from turnwright.rundir import RunReader, RunWriter, find_run, free_run_name, list_runs, prunable, prune
from turnwright.rundir.checkpoints import promote
from turnwright.rundir.manifest import find_commit


def save(writer: RunWriter, *steps: int) -> None:
    for step in steps:
        with writer.checkpoint(step) as folder:
            (folder / "model.safetensors").write_bytes(b"x" * 1000)


def test_a_run_without_a_process_that_never_ended_is_interrupted(writer: RunWriter, root: Path) -> None:
    writer.status("rollout", 3)
    (run,) = list_runs(root.parent)
    assert (run.name, run.state, run.step) == ("demo", "rollout", 3)
    writer.close()
    (run,) = list_runs(root.parent)
    assert run.state == "interrupted"


def test_an_ended_run_keeps_its_phase_and_other_folders_are_no_runs(writer: RunWriter, root: Path) -> None:
    (root.parent / "notes").mkdir()
    writer.status("finished", 50)
    writer.close()
    assert [(run.name, run.state) for run in list_runs(root.parent)] == [("demo", "finished")]
    assert list_runs(root / "absent") == ()


def test_pruning_keeps_the_newest_checkpoint_and_every_record(writer: RunWriter, root: Path) -> None:
    writer.open_group(make_group(0, "a"))
    writer.attempt(0, make_attempt("a"))
    save(writer, 1, 2, 3)
    writer.close()
    paths = prunable(root)
    assert [path.name for path in paths] == ["step_000001", "step_000002"]
    sealed = sum((path / "manifest.json").stat().st_size for path in paths)
    assert prune(root, paths) == 2000 + sealed
    assert [checkpoint.step for checkpoint in RunReader(root).checkpoints()] == [3]
    assert [group.attempts for group in RunReader(root).open_groups()] == [(make_attempt("a"),)]


def test_pruning_keeps_the_promoted_checkpoint_and_finishes_what_was_cut_off(writer: RunWriter, root: Path) -> None:
    save(writer, 1, 2, 3)
    promote(writer.layout, [{"step": 1.0, "val/reward/mean": 0.5}])
    writer.close()
    (writer.layout.checkpoints / ".step_000000.deleted").mkdir()
    paths = prunable(root)
    assert [path.name for path in paths] == ["step_000002", ".step_000000.deleted"]
    prune(root, paths)
    assert sorted(path.name for path in writer.layout.checkpoints.iterdir()) == [
        "promoted", "step_000001", "step_000003",
    ]  # fmt: skip


def test_pruning_frees_what_a_resumed_run_took_back(writer: RunWriter, root: Path) -> None:
    save(writer, 1, 2)
    writer.close()
    RunWriter.resume(root, step=1).close()
    assert prunable(root) == (root / "superseded",)


def test_a_running_run_and_foreign_folders_are_not_pruned(writer: RunWriter, root: Path, tmp_path: Path) -> None:
    save(writer, 1, 2)
    with pytest.raises(RunDirectoryError, match="is being written"):
        prune(root, prunable(root))
    writer.close()
    with pytest.raises(RunDirectoryError, match="is not inside"):
        prune(root, [tmp_path])
    with pytest.raises(ConfigError, match="keep = 0"):
        prunable(root, keep=0)


def test_a_made_up_name_is_readable_and_free(tmp_path: Path) -> None:
    assert re.fullmatch(r"\d{4}-\d{4}-[a-z]+-[a-z]+", free_run_name(tmp_path))


def test_the_commit_is_read_from_loose_and_packed_references(tmp_path: Path) -> None:
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    inner = tmp_path / "deep" / "folder"
    inner.mkdir(parents=True)
    assert find_commit(inner) is None
    (git / "packed-refs").write_text("# pack-refs\nabc123 refs/heads/main\n")
    assert find_commit(inner) == "abc123"
    (git / "refs" / "heads" / "main").write_text("def456\n")
    assert find_commit(inner) == "def456"
    (git / "HEAD").write_text("789aaa\n")
    assert find_commit(inner) == "789aaa"


def test_a_run_is_found_by_path_and_by_name_and_a_typo_is_answered(writer: RunWriter, root: Path) -> None:
    assert find_run(str(root), Path("runs")) == root
    assert find_run("demo", root.parent) == root
    with pytest.raises(RunDirectoryError, match="did you mean demo"):
        find_run("dmeo", root.parent)
