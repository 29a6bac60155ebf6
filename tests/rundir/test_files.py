from pathlib import Path

import pytest

from turnwright.rundir.files import LineLog, read_lines, write_atomic


def test_atomic_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new" / "status.json"
    write_atomic(target, "long content")
    write_atomic(target, "short")
    assert target.read_text() == "short"
    assert list(target.parent.iterdir()) == [target]


def test_failed_atomic_write_keeps_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "status.json"
    write_atomic(target, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(target, "\ud800")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_torn_tail_is_no_record_and_goes_when_the_log_is_reopened(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":')
    assert list(read_lines(path)) == [b'{"a":1}']
    with LineLog(path) as log:
        log.append(b'{"c":3}')
    assert path.read_bytes() == b'{"a":1}\n{"c":3}\n'


def test_a_log_that_is_one_torn_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a"')
    LineLog(path).close()
    assert path.read_bytes() == b""


def test_an_appended_line_is_readable_before_the_log_is_closed(tmp_path: Path) -> None:
    with LineLog(tmp_path / "log.jsonl") as log:
        log.append(b"1")
        assert list(read_lines(log.path)) == [b"1"]


def test_a_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert list(read_lines(tmp_path / "absent.jsonl")) == []
