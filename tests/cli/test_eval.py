"""What ``turnwright eval`` refuses; whole evaluations are in tests/system."""

from pathlib import Path

import pytest

from cli.conftest import Command

RECIPE = "[environment]\nname = 'returns_desk'\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--out", "here"), "name a run.toml with --config, or a run with --run"),
        (("--config", "run.toml"), "name a run with --run or a folder with --out"),
        (("--config", "absent.toml", "--out", "here"), "no configuration file at 'absent.toml'"),
        (("--config", "run.toml", "--out", "here", "--set", "evaluation.scorer=reward"), "allow_reward_as_scorer"),
        (("--run", "absent"), "no run 'absent'"),
    ],
)
def test_bad_input_exits_2_and_names_the_cure(
    turnwright: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(RECIPE)
    result = turnwright("eval", "tiny", *arguments)
    assert (result.code, result.out) == (2, "")
    assert named in result.err
    assert not (tmp_path / "here").exists()
