"""What is shipped."""

import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from architecture.test_imports import PACKAGE, ROOT


@pytest.mark.slow
def test_the_wheel_ships_the_whole_package_and_stays_light(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = set(archive.namelist())
        metadata = Parser().parsestr(archive.read("turnwright-0.1.0.dist-info/METADATA").decode())
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {f"turnwright/{path.relative_to(PACKAGE)}" for path in files} <= shipped
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert len(required) == len(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    assert not any(line.startswith(("torch", "transformers", "mlflow")) for line in required)
