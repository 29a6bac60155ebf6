"""A process that dies at any change to the disk leaves checkpoints that can be trusted, and a pointer at one."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from turnwright.config import ResolvedConfig
from turnwright.rundir import RunReader, RunWriter, collect_manifest
from turnwright.rundir.checkpoints import newest_intact, promote, promoted, tend, verify

pytestmark = pytest.mark.slow
CHANGES = frozenset({"os.rename", "os.mkdir", "os.symlink"})
DELETIONS = frozenset({"os.remove", "os.rmdir"})
"""Named by their place in a folder alone."""
METRICS = [{"step": float(step), "val/reward/mean": value} for step, value in ((1, 0.3), (2, 0.1), (3, 0.2))]


def save(writer: RunWriter, step: int) -> None:
    with writer.checkpoint(step) as folder:
        (folder / "resume").mkdir()
        (folder / "resume" / "optimizer.pt").write_bytes(b"moments" * step)
        (folder / "model.safetensors").write_bytes(b"weights" * step)


def advance(root: Path) -> None:
    """Save step 3 and let go of step 2, which is neither the newest nor the best."""
    with RunWriter.resume(root, step=2) as writer:
        save(writer, 3)
        tend(writer.layout, METRICS, keep_last=1, keep_best=1)


def dies_at(change: int, root: Path) -> bool:
    """Advance in a process of its own that dies at its n-th change; tell whether it did, or came to the end."""
    child = os.fork()
    if not child:
        left = change

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            writes = event == "open" and str(arguments[1])[:1] in "wxa"
            here = str(root / "checkpoints") in str(arguments[0])
            if event in DELETIONS or (here and (writes or event in CHANGES)):
                left -= 1
                if left < 0:
                    os._exit(9)

        sys.addaudithook(count)
        try:
            advance(root)
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


@pytest.fixture
def before(tmp_path: Path, config: ResolvedConfig) -> Path:
    root = tmp_path / "before"
    with RunWriter.create(root, config=config, manifest=collect_manifest(name="demo", seed=1)) as writer:
        save(writer, 1)
        save(writer, 2)
        promote(writer.layout, METRICS[1:])
    return root


def test_whenever_it_dies_the_newest_and_the_promoted_checkpoint_are_whole(before: Path, tmp_path: Path) -> None:
    change = 0
    newest: set[int] = set()
    while dies_at(change, root := Path(shutil.copytree(before, tmp_path / str(change), symlinks=True))):
        change += 1
        layout = RunReader(root).layout
        found, pointed = newest_intact(layout), promoted(layout)
        assert found is not None, change
        assert pointed is not None, change
        assert verify(pointed) == (), change
        newest.add(found.step)
        # Whoever comes next brings it to the same end.
        with RunWriter.resume(root, step=found.step) as writer:
            if found.step == 2:
                save(writer, 3)
            tend(layout, METRICS, keep_last=1, keep_best=1)
        names = sorted(path.name for path in layout.checkpoints.iterdir())
        assert names == ["promoted", "step_000001", "step_000003"], change
        shutil.rmtree(root)
    assert newest == {2, 3}
    assert change > 15
    assert promoted(RunReader(root).layout) == RunReader(root).layout.checkpoint(1)
