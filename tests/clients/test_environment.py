"""The clients' environment itself."""

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
PINNED = re.compile(r"([A-Za-z0-9._-]+)==(\S+)")


def pins(file: str) -> dict[str, str]:
    lines = [line for line in (HERE / file).read_text().splitlines() if line and not line.startswith("#")]
    found = [PINNED.fullmatch(line) for line in lines]
    assert all(found)
    return {match[1].lower().replace("_", "-"): match[2] for match in found if match}


def test_the_lock_holds_every_client_and_nothing_for_accelerators():
    lock = pins("requirements.txt")
    assert pins("requirements.in").items() <= lock.items()
    assert not [name for name in lock if name.startswith(("torch", "nvidia", "triton", "tensorflow"))]


def test_the_environment_is_what_the_lock_says(clients_python: Path):
    frozen = subprocess.run(
        [clients_python, "-m", "pip", "--disable-pip-version-check", "freeze"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert dict(PINNED.findall(frozen.lower().replace("_", "-"))) == pins("requirements.txt")
