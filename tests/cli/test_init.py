"""`turnwright init` on a terminal, answering its questions, and without one."""

import os
import pty
import sys
from pathlib import Path

import pytest

from turnwright.cli import main

ANSWERS = ("stateful", "verdict: go, stop", "get_order(order): size=s|l, place", "", "auditor", "")


@pytest.mark.slow
def test_on_a_terminal_it_asks_one_question_after_the_other(tmp_path: Path, child_environment: dict[str, str]) -> None:
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.execve(sys.executable, [sys.executable, "-m", "turnwright.cli", "init", "night-shift"], child_environment)
    printed = b""
    for answer in ANSWERS:
        asked = printed.count(b": ")
        while printed.count(b": ") == asked:
            printed += os.read(terminal, 4096)
        os.write(terminal, answer.encode() + b"\n")
    try:
        while data := os.read(terminal, 4096):
            printed += data
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    assert os.waitpid(process, 0)[1] == 0, printed.decode()
    assert b"turnwright check environment.py:NightShift" in printed
    text = (tmp_path / "night-shift" / "environment.py").read_text()
    assert 'OUTCOME = "verdict"' in text
    assert 'FACTS = {"size": ("s", "l"), "place": ("low", "high")}' in text


def test_a_wrong_answer_is_told_with_an_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["init", "claims", "--yes", "--tool", "get_claim"])
    assert ended.value.code == 2
    assert "tool 'get_claim': expected a name, the id it is asked with" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
