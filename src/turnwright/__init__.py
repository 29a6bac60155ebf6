"""Turnwright: multi-turn reinforcement learning of tool-using LLM agents, open and self-hosted.

You bring an agent and an environment; Turnwright runs the rollouts, records every token, trains the policy and
proves, independently of the reward, whether the agent got better. Importing this package loads no torch.

The verbs of the command line are functions of ``turnwright.api``::

    from turnwright import api
    api.play("returns_desk", model="oracle")
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Engine and learner each have a team of threads. By default the idle one spins for a while and takes the cores from the
# working one, and a core that is shared with other programs slows every operation many times. OpenMP reads this once,
# when torch is loaded, so it has to be said before anything here imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from turnwright.api import Job, MultiTurnRLEvaluator, MultiTurnRLTrainer
    from turnwright.core.episode import Episode, Turn
    from turnwright.core.errors import ToolError, TurnwrightError
    from turnwright.core.message import Message, ToolCall
    from turnwright.core.outcome import Failed, Rewarded, Truncated
    from turnwright.core.score import Score
    from turnwright.core.task import Task
    from turnwright.environments import Done, Environment, Script, TurnRewards, call, say, tool

__version__ = "0.1.0"
__all__ = [
    "Done",
    "Environment",
    "Episode",
    "Failed",
    "Job",
    "Message",
    "MultiTurnRLEvaluator",
    "MultiTurnRLTrainer",
    "Rewarded",
    "Score",
    "Script",
    "Task",
    "ToolCall",
    "ToolError",
    "Truncated",
    "Turn",
    "TurnRewards",
    "TurnwrightError",
    "call",
    "say",
    "tool",
]

_HOMES = {
    "turnwright.api": ("Job", "MultiTurnRLEvaluator", "MultiTurnRLTrainer"),
    "turnwright.core.episode": ("Episode", "Turn"),
    "turnwright.core.errors": ("ToolError", "TurnwrightError"),
    "turnwright.core.message": ("Message", "ToolCall"),
    "turnwright.core.outcome": ("Failed", "Rewarded", "Truncated"),
    "turnwright.core.score": ("Score",),
    "turnwright.core.task": ("Task",),
    "turnwright.environments": ("Done", "Environment", "Script", "TurnRewards", "call", "say", "tool"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'turnwright' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, "__version__"]
