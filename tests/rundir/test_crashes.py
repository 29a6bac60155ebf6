import subprocess
import sys
from pathlib import Path

import pytest

from rundir import writing_until_killed


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_is_there_twice_when_the_writer_is_killed_again_and_again(
    tmp_path: Path, child_environment: dict[str, str]
) -> None:
    root, told = tmp_path / "demo", tmp_path / "told"
    command = [sys.executable, "-m", writing_until_killed.__name__, str(root), str(told), "1"]
    done = subprocess.run(command, env=child_environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 5
