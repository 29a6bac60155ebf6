from collections.abc import Callable
from dataclasses import dataclass

import pytest

from turnwright.cli import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Exit]


@pytest.fixture
def turnwright(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: object) -> Exit:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Exit(code=int(ended.value.code or 0), out=captured.out, err=captured.err)

    return run
