"""What every test shares."""

import gc
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# No deadline: the machine may be busy with something else. Laws that need more examples than these say so.
settings.register_profile("turnwright", deadline=None, max_examples=50)
settings.load_profile("turnwright")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep libraries and collected tests out of the garbage collector's sight.

    They are a million objects that live as long as the process; looking through them again and again takes seconds.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output does not depend on the terminal that runs the tests."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def child_environment() -> dict[str, str]:
    """Environment of a Python child process that imports what this one does, installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
