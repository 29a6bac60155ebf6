"""Files of a workspace: whatever a program left there, nothing is read or written outside."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.sandbox.files import MOST_DEPTH, list_files, read_file, write_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_what_is_written_is_read_and_listed(root: Path) -> None:
    write_file(root, "src/./deep//main.py", b"first", None)
    write_file(root, "src/deep/main.py", b"second", None)
    write_file(root, "readme", b"", None)
    assert read_file(root, "src/deep/main.py") == b"second"
    assert list_files(root) == ("readme", "src/deep/main.py")


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside/secret", "a/../../outside/secret", "", ".", "a\0b"])
def test_paths_that_leave_the_workspace_are_refused(root: Path, path: str) -> None:
    with pytest.raises(ValueError, match="no path within the workspace"):
        write_file(root, path, b"changed", None)
    with pytest.raises(FileNotFoundError):
        read_file(root, path)
    assert (root.parent / "outside" / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize(
    "plant",
    [
        lambda root, outside: (root / "x").symlink_to(outside / "secret"),
        lambda root, outside: os.mkfifo(root / "x"),
        lambda root, outside: os.mknod(root / "x", 0o20666, os.makedev(1, 9)),
        lambda root, outside: (root / "x").mkdir(),
        lambda root, outside: (root / "x").symlink_to("x"),
    ],
    ids=["link", "fifo", "device", "folder", "loop"],
)
def test_only_regular_files_are_read_and_nothing_waits(root: Path, plant: Callable[[Path, Path], None]) -> None:
    try:
        plant(root, root.parent / "outside")
    except PermissionError:
        pytest.skip("only root makes devices")
    with pytest.raises(FileNotFoundError, match="no regular file 'x'"):
        read_file(root, "x")
    assert list_files(root) == ()


@pytest.mark.parametrize("kind", ["link", "fifo", "hard link"])
def test_writing_replaces_what_stands_there_and_follows_nothing(root: Path, kind: str) -> None:
    secret = root.parent / "outside" / "secret"
    if kind == "link":
        (root / "x").symlink_to(secret)
    elif kind == "fifo":
        os.mkfifo(root / "x")
    else:
        (root / "x").hardlink_to(secret)
    write_file(root, "x", b"new", None)
    assert (read_file(root, "x"), secret.read_bytes()) == (b"new", b"secret")
    assert sorted(path.name for path in root.iterdir()) == ["x"]


def test_folders_that_are_links_are_not_gone_through(root: Path) -> None:
    (root / "folder").symlink_to(root.parent / "outside")
    with pytest.raises(ValueError, match="'folder', which is a link or no folder"):
        write_file(root, "folder/new", b"x", None)
    with pytest.raises(FileNotFoundError):
        read_file(root, "folder/secret")
    assert list_files(root) == ()
    assert [path.name for path in (root.parent / "outside").iterdir()] == ["secret"]


def test_a_file_is_no_folder_and_a_folder_no_file(root: Path) -> None:
    write_file(root, "x", b"", None)
    (root / "y").mkdir()
    with pytest.raises(ValueError, match="'x', which is a link or no folder"):
        write_file(root, "x/z", b"", None)
    with pytest.raises(ValueError, match="'y' is a folder"):
        write_file(root, "y", b"", None)
    assert list_files(root) == ("x",)


def test_a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere(root: Path) -> None:
    outside, stop = root.parent / "outside", threading.Event()
    (root / "folder").mkdir()
    (root / "folder" / "secret").write_bytes(b"harmless")
    (root / "link").symlink_to(outside)

    def swap() -> None:
        while not stop.is_set():
            for source, target in (("folder", "aside"), ("link", "folder"), ("folder", "link"), ("aside", "folder")):
                (root / source).rename(root / target)

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[bytes] = set()
    try:
        for _ in range(2000):
            try:
                seen.add(read_file(root, "folder/secret"))
            except FileNotFoundError:
                seen.add(b"none")
    finally:
        stop.set()
        thread.join()
    assert b"secret" not in seen


def test_names_that_are_no_text_and_nests_without_end_are_listed_as_far_as_they_go(root: Path) -> None:
    odd = os.fsdecode(b"\xff\xfe")
    (root / odd).write_bytes(b"odd")
    assert list_files(root) == (odd,)
    assert read_file(root, odd) == b"odd"
    folder = os.open(root, os.O_RDONLY)
    for _ in range(2 * MOST_DEPTH):
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=folder))
        os.mkdir("d", dir_fd=folder)
        deeper = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = deeper
    os.close(folder)
    assert len(list_files(root)) == 1 + MOST_DEPTH


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "/", "c/d"]), min_size=1, max_size=6).map("/".join))
def test_a_path_is_refused_or_stays_inside(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    root = tmp_path_factory.mktemp("any")
    try:
        write_file(root, path, b"x", None)
    except ValueError:
        assert list_files(root) == ()
    else:
        (written,) = list_files(root)
        assert os.path.normpath(path) == written
