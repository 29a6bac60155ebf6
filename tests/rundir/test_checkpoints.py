"""Checkpoints: whatever happens to their files is noticed; what stays, what goes, and which one is to be deployed."""

import logging
import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.checkpoint import AdapterRecord, Checkpoint, ModelRecord
from turnwright.core.errors import RunDirectoryError
from turnwright.rundir import RunReader, RunWriter
from turnwright.rundir.checkpoints import (
    newest_intact,
    promote,
    promoted,
    ranked,
    read_manifest,
    tend,
    validations,
    verify,
)

WEIGHTS, STATE = "model.safetensors", "resume/optimizer.pt"
MODEL = ModelRecord(
    architecture="Qwen3ForCausalLM",
    num_parameters=12,
    shapes="ab12",
    dtype="bfloat16",
    adapters=AdapterRecord(rank=4, alpha=8.0, targets=("q_proj",)),
)


def save(writer: RunWriter, *steps: int, resume: bool = True) -> None:
    for step in steps:
        with writer.checkpoint(step, MODEL) as folder:
            (folder / WEIGHTS).write_bytes(b"weights" * step)
            if resume:
                (folder / "resume").mkdir()
                (folder / STATE).write_bytes(b"moments" * step)


def steps(writer: RunWriter) -> list[int]:
    return [checkpoint.step for checkpoint in RunReader(writer.layout.root).checkpoints()]


def rewards(**by_step: float) -> list[dict[str, float]]:
    return [{"step": int(name[1:]), "val/reward/mean": value} for name, value in by_step.items()]


def test_a_checkpoint_says_what_it_is_and_verifies(writer: RunWriter) -> None:
    save(writer, 3)
    folder = writer.layout.checkpoint(3)
    manifest = read_manifest(folder)
    assert manifest is not None
    assert (manifest.step, manifest.model) == (3, MODEL)
    assert [(file.path, file.size) for file in manifest.files] == [(WEIGHTS, 21), (STATE, 21)]
    assert manifest.files[0].sha256 == "aa045aa0ee93b509e6759fea0716c2e8c0f8de736e763d01ca04bb90fc8c6e23"
    assert "python" in manifest.versions
    assert verify(folder) == ()
    (folder / "notes.txt").write_text("somebody's own")
    assert verify(folder) == ()


@pytest.mark.parametrize(
    ("name", "content", "named", "seen_by_size"),
    [
        (WEIGHTS, None, "is missing; copy 'step_000003' back", True),
        (STATE, b"short", "has 5 bytes, expected 21; copy", True),
        (WEIGHTS, b"weights" * 2 + b"weightz", "has another content than was saved (SHA-256 ", False),
        ("manifest.json", None, "is missing, so that nothing says what the checkpoint holds", True),
        ("manifest.json", b'{"step": 3', "cannot be read: Invalid JSON", True),
    ],
)
def test_every_change_is_named(
    writer: RunWriter, name: str, content: bytes | None, named: str, seen_by_size: bool
) -> None:
    save(writer, 3)
    folder = writer.layout.checkpoint(3)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    (problem,) = verify(folder)
    assert problem.startswith(f"'{folder / name}' ")
    assert named in problem
    assert bool(verify(folder, hashes=False)) == seen_by_size


def test_a_checkpoint_under_another_name_is_noticed(writer: RunWriter) -> None:
    save(writer, 3)
    writer.layout.checkpoint(3).rename(writer.layout.checkpoint(4))
    (problem,) = verify(writer.layout.checkpoint(4))
    assert "is that of step 3" in problem


def test_a_broken_checkpoint_is_passed_over_with_a_warning(writer: RunWriter, caplog: pytest.LogCaptureFixture) -> None:
    assert newest_intact(writer.layout) is None
    save(writer, 1, 2, 3)
    save(writer, 4, resume=False)
    (writer.layout.checkpoint(3) / STATE).write_bytes(b"momentz" * 3)
    with caplog.at_level(logging.WARNING):
        found = newest_intact(writer.layout)
    assert found is not None
    assert found.step == 2
    only_deployed, broken = [record.getMessage() for record in caplog.records]
    assert "step_000004' is passed over: it has no folder resume/" in only_deployed
    assert f"step_000003' is passed over: '{writer.layout.checkpoint(3) / STATE}' has another content" in broken


def test_the_independent_score_ranks_where_there_is_one() -> None:
    records = [{"step": 1.0, "val/reward/mean": 0.9, "val/score/success": 0.1}, {"step": 2.0, "val/reward/mean": 0.95}]
    assert validations(records) == {1: 0.1}
    assert validations(rewards(s1=0.5, s2=math.nan)) == {1: 0.5}
    assert validations([{"step": 1.0, "training/loss": 0.1}]) == {}


def test_the_best_validated_is_promoted_and_of_equals_the_newer(writer: RunWriter) -> None:
    layout = writer.layout
    assert promote(layout, []) is None
    save(writer, 1, 2, 3, 4)
    assert promote(layout, []) == promoted(layout) == layout.checkpoint(4)
    assert promote(layout, rewards(s0=1.0, s1=0.2, s2=0.7, s3=0.7)) == layout.checkpoint(3)
    assert layout.promoted.readlink() == Path("step_000003")
    assert (layout.promoted / WEIGHTS).is_file()
    (layout.checkpoint(3) / WEIGHTS).write_bytes(b"cut")
    assert promote(layout, rewards(s2=0.7, s3=0.7)) == layout.checkpoint(2)
    assert steps(writer) == [1, 2, 3, 4]


def test_newest_and_best_stay_and_the_rest_goes(writer: RunWriter) -> None:
    layout = writer.layout
    save(writer, 1, 2, 3, 4, 5)
    metrics = rewards(s1=0.9, s2=0.8, s3=0.1, s4=0.2)
    assert tend(layout, metrics, keep_last=None, keep_best=None) == ()
    assert tend(layout, metrics, keep_last=2, keep_best=2) == (layout.checkpoint(3),)
    assert tend(layout, metrics, keep_last=2, keep_best=None) == (layout.checkpoint(2),)
    assert (steps(writer), promoted(layout)) == ([1, 4, 5], layout.checkpoint(1))
    assert tend(layout, metrics, keep_last=2, keep_best=0) == (layout.checkpoint(1),)
    assert (steps(writer), promoted(layout)) == ([4, 5], layout.checkpoint(4))
    assert list(layout.checkpoints.glob(".*")) == []


def test_what_is_broken_stays_for_somebody_to_look_at(writer: RunWriter) -> None:
    layout = writer.layout
    save(writer, 1, 2, 3, 4)
    for step in (1, 4):
        (layout.checkpoint(step) / WEIGHTS).unlink()
    assert tend(layout, [], keep_last=1, keep_best=1) == (layout.checkpoint(2),)
    assert (steps(writer), promoted(layout)) == ([1, 3, 4], layout.checkpoint(3))


def test_a_deletion_that_was_cut_off_is_finished(writer: RunWriter) -> None:
    layout = writer.layout
    save(writer, 1, 2)
    dying = layout.checkpoints / ".step_000001.deleted"
    dying.mkdir()
    (dying / "half").write_text("left")
    assert tend(layout, [], keep_last=1, keep_best=None) == (layout.checkpoint(1),)
    assert sorted(path.name for path in layout.checkpoints.iterdir()) == ["promoted", "step_000002"]


def test_a_pointer_at_nothing_is_none(writer: RunWriter) -> None:
    assert promoted(writer.layout) is None
    save(writer, 1)
    promote(writer.layout, [])
    (writer.layout.checkpoint(1) / WEIGHTS).unlink()
    assert promote(writer.layout, []) is None
    assert not writer.layout.promoted.is_symlink()


def test_a_manifest_that_is_none_is_refused(writer: RunWriter) -> None:
    save(writer, 1)
    (writer.layout.checkpoint(1) / "manifest.json").write_text("[]")
    with pytest.raises(RunDirectoryError, match=r"manifest\.json' cannot be read: .*; copy 'step_000001' back"):
        read_manifest(writer.layout.checkpoint(1))


@given(
    st.dictionaries(st.integers(1, 12), st.sampled_from((0.0, 0.5, 1.0)) | st.just(math.nan)),
    st.sets(st.integers(1, 12)),
)
def test_no_checkpoint_outranks_the_first(values: dict[int, float], saved: set[int]) -> None:
    metrics = [{"step": float(step), "val/reward/mean": value} for step, value in values.items()]
    order = ranked([Checkpoint(path=Path(str(step)), step=step) for step in sorted(saved)], metrics)
    assert {found.step for found in order} == {step for step in saved if not math.isnan(values.get(step, math.nan))}
    assert all(
        (values[first.step], first.step) > (values[second.step], second.step) for first, second in pairwise(order)
    )
