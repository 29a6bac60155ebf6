"""The gateway's bench at its smallest size: what it prints, and that nothing is lost. It asserts no speed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
BENCH = Path(__file__).parents[2] / "bench" / "gateway.py"


def test_the_last_line_says_all_and_no_trajectory_is_lost() -> None:
    done = subprocess.run([sys.executable, BENCH, "--quick"], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout.splitlines()[-1])
    assert list(result) == ["bench", "ratios", "bounds", "versions"]
    assert (result["bench"], list(result["ratios"])) == ("gateway", ["vs_no_record"])
    assert result["ratios"]["vs_no_record"] > 0
    bounds = result["bounds"]
    assert bounds["lost_trajectories"] == 0
    units = ("_ms", "_per_s", "_kb", "_trajectories")
    assert {name for name in bounds if not name.endswith(units)} == {"vs_no_record"}
    measured = ("full_calls_per_s", "no_record_calls_per_s", "echo_requests_per_s", "loop_delay_p99_ms")
    assert all(bounds[name] > 0 for name in measured)
    assert {"python", "starlette", "uvicorn"} <= result["versions"].keys()
