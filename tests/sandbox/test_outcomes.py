"""Attempts whose tool runs a program: what the program does is graded, a sandbox that breaks is a failure."""

import asyncio

import pytest

from rollout.desk import DONE, KEY, TASK, Desk, Told
from turnwright.agents.builtin import LoopLimits
from turnwright.core.episode import Episode
from turnwright.core.outcome import Failed, Rewarded
from turnwright.environments.scripts import call
from turnwright.environments.tools import tool
from turnwright.rollout.runner import EpisodeLimits, run_episode
from turnwright.sandbox import Ending, RunResult, Sandbox, SandboxError, SandboxLimits
from turnwright.sandbox.base import MEBIBYTE
from turnwright.sandbox.scripted import ScriptedSandbox

LIMITS = SandboxLimits(
    memory_bytes=96 * MEBIBYTE, cpu_seconds=0.3, wall_seconds=60.0, output_bytes=1000, disk_bytes=MEBIBYTE
)
PROGRAMS: dict[Ending, str] = {
    "exited": "print('wrong'); raise SystemExit(1)",
    "signalled": "import os; os.abort()",
    "wall_time": "import time; time.sleep(60)",
    "cpu_time": "while True: pass",
    "memory": "kept = []\nwhile True: kept.append(bytearray(1 << 22))",
    "disk": "while True: open('big', 'ab').write(bytes(1 << 18))",
    "output": "while True: print('x' * 100)",
}


class Bench(Desk):
    """Runs a program in a workspace of its own and tells how it ended."""

    instructions = "Run programs, then say done."

    def __init__(self, sandbox: Sandbox, limits: SandboxLimits) -> None:
        super().__init__()
        self._sandbox = sandbox
        self._limits = limits

    @tool
    def execute(self, code: str) -> dict[str, str]:
        """Run a Python program."""
        with self._sandbox.workspace(self._limits) as workspace:
            workspace.write("main.py", code.encode())
            result = workspace.run(["python3", "main.py"])
        return {"ending": result.ending, "stdout": result.stdout}


def play(sandbox: Sandbox, code: str, limits: SandboxLimits = LIMITS) -> Episode:
    policy = Told(call("execute", code=code), DONE)
    limits_of_episode = EpisodeLimits(loop=LoopLimits(max_turns=4))
    return asyncio.run(run_episode(Bench(sandbox, limits), TASK, KEY, policy, limits_of_episode, seed=1))


@pytest.mark.sandbox
@pytest.mark.parametrize("ending", sorted(PROGRAMS))
def test_however_a_program_ends_the_attempt_is_graded(sandbox: Sandbox, ending: Ending) -> None:
    limits = SandboxLimits(wall_seconds=0.3) if ending == "wall_time" else LIMITS
    episode = play(sandbox, PROGRAMS[ending], limits)
    assert episode.outcome == Rewarded(value=1.0)
    assert f'"ending": "{ending}"' in episode.messages[3].content


@pytest.mark.parametrize("ending", [*PROGRAMS, "closed"])
def test_an_ending_is_an_answer_in_every_sandbox(ending: Ending) -> None:
    result = RunResult(ending=ending, exit_code=None, stdout="", stderr="", wall_seconds=0.0)
    assert play(ScriptedSandbox([result]), "").outcome == Rewarded(value=1.0)


def test_a_sandbox_that_breaks_fails_the_attempt() -> None:
    outcome = play(ScriptedSandbox([SandboxError("the sandbox broke: no space left")]), "").outcome
    assert isinstance(outcome, Failed)
    assert outcome.cause == "tool_error"
    assert "SandboxError: the sandbox broke: no space left" in outcome.detail
