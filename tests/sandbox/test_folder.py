"""Folders of workspaces: they go, whatever is in them, also when the process that held them was killed."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from turnwright.sandbox.folder import PREFIX, held_folder, remove_tree, sweep_folders


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_there_and_then_gone(own_temporary_folder: Path) -> None:
    with held_folder() as folder:
        (folder / "file").write_text("x")
        assert folder.parent == own_temporary_folder
        assert sweep_folders() == ()
    assert list(own_temporary_folder.iterdir()) == []


@pytest.mark.slow
def test_a_nest_too_deep_for_any_path_goes(own_temporary_folder: Path) -> None:
    with held_folder() as top:
        folder = os.open(top, os.O_RDONLY)
        for _ in range(1100):
            os.mkdir("deeper", dir_fd=folder)
            deeper = os.open("deeper", os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = deeper
        os.close(folder)
    assert list(own_temporary_folder.iterdir()) == []


def test_links_go_and_what_they_name_stays(own_temporary_folder: Path) -> None:
    (own_temporary_folder / "kept").mkdir()
    (own_temporary_folder / "kept" / "file").write_text("kept")
    with held_folder() as folder:
        (folder / "link").symlink_to(own_temporary_folder / "kept")
        (folder / "closed").mkdir()
        (folder / "closed" / "link").symlink_to(own_temporary_folder / "kept" / "file")
        os.mkfifo(folder / "closed" / "fifo")
        (folder / "closed").chmod(0)
    assert (own_temporary_folder / "kept" / "file").read_text() == "kept"


def test_a_folder_that_is_gone_already_is_no_error(own_temporary_folder: Path) -> None:
    remove_tree(own_temporary_folder / "never")


def test_the_folder_of_a_killed_process_is_swept(
    own_temporary_folder: Path, child_environment: Mapping[str, str]
) -> None:
    program = """
import sys
from turnwright.sandbox.folder import held_folder
with held_folder() as folder:
    (folder / "file").write_text("left")
    print(folder, flush=True)
    sys.stdin.read()
"""
    environment = {**child_environment, "TMPDIR": str(own_temporary_folder)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, **pipes) as process:  # pyright: ignore
        assert process.stdout is not None
        folder = process.stdout.readline().strip()
        assert Path(folder).name.startswith(PREFIX)
        assert sweep_folders() == ()
        process.send_signal(signal.SIGKILL)
    assert sweep_folders() == (folder,)
    assert not Path(folder).exists()
