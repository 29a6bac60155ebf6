"""A run whose answers are executed: SQL and Python of the policy, graded beside the loop that samples."""

from pathlib import Path

import pytest

from system.conftest import Turnwright, WriteRecipe
from turnwright.core.outcome import Failed
from turnwright.rundir import RunReader
from turnwright.sandbox.base import SandboxError
from turnwright.sandbox.choose import open_sandbox

pytestmark = pytest.mark.runs

EXAMPLES = Path(__file__).parents[2] / "examples" / "verifiable"


@pytest.mark.parametrize("name", ["functions.py:Functions", "sales.py:Sales"])
def test_a_run_trains_on_answers_that_are_executed(
    name: str, turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    if name.startswith("functions"):
        try:
            open_sandbox()
        except SandboxError as missing:
            pytest.skip(f"no sandbox works here: {missing}")
    settings = (f"environment.name={EXAMPLES / name}", "run.name=executed", "schedule.save_every=2")
    scored = ("evaluation.scorer=reward", "evaluation.allow_reward_as_scorer=true")
    done = turnwright("train", write_recipe(), *settings, *scored)
    assert (done.code, done.err) == (0, "")
    run = RunReader(tmp_path / "runs" / "executed")
    episodes = [episode for step in run.episode_steps() for episode in run.episodes(step)]
    assert len(episodes) >= 2 * 8
    assert not [episode.outcome for episode in episodes if isinstance(episode.outcome, Failed)]
    shown = "rollout/component/passed" if name.startswith("functions") else "rollout/component/emitted"
    assert all(shown in record for record in run.metrics() if record["step"] > 0)
