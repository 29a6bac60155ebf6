"""What ``turnwright warmstart`` refuses; whole warm starts are in tests/system."""

from pathlib import Path

from cli.conftest import Command


def test_a_folder_with_content_is_never_overwritten(turnwright: Command, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    result = turnwright("warmstart", "environment.name=returns_desk", "--out", tmp_path)
    assert result.code == 2
    assert "is not empty: choose another folder" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
