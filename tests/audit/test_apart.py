"""An audit in a process of its own: what it returns and raises comes back, and no program in it finds a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from turnwright.audit.apart import has_left_network, run_apart
from turnwright.core.errors import ConfigError, TurnwrightError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has networks for processes")


def interfaces() -> tuple[bool, list[str]]:
    listed = subprocess.run(["cat", "/proc/net/dev"], capture_output=True, text=True, check=True).stdout
    return has_left_network(), [line.partition(":")[0].strip() for line in listed.splitlines()[2:]]


def test_programs_have_loopback_alone() -> None:
    left, found = run_apart(interfaces)
    if not left:
        pytest.skip("this kernel gives no network of one's own")
    assert found == ["lo"]


def test_this_process_keeps_its_network() -> None:
    before = Path("/proc/self/ns/net").readlink()
    run_apart(os.getpid)
    assert Path("/proc/self/ns/net").readlink() == before
    assert not has_left_network()


def test_errors_come_back_as_they_are() -> None:
    def wrong() -> None:
        raise ConfigError("tasks = 0: expected 1 or more")

    with pytest.raises(ConfigError, match="expected 1 or more"):
        run_apart(wrong)


def test_errors_that_cannot_be_handed_over_are_told() -> None:
    class Local(Exception):
        pass

    def wrong() -> None:
        raise Local("here")

    with pytest.raises(TurnwrightError, match="Local: here"):
        run_apart(wrong)


def test_a_process_that_ends_early_is_an_error() -> None:
    with pytest.raises(TurnwrightError, match="ended early"):
        run_apart(lambda: os._exit(3))
