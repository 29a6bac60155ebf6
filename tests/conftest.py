"""What every test shares."""

import os
import sys

import pytest
from hypothesis import settings

# No deadline: the machine may be busy with something else.
settings.register_profile("turnwright", deadline=None)
settings.load_profile("turnwright")


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output does not depend on the terminal that runs the tests."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def child_environment() -> dict[str, str]:
    """Environment of a Python child process that imports what this one does, installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
