"""What reaching an agent means: a rollout request goes in; a report comes back, or an AgentError, or nothing.

A launcher reaches one agent that runs outside the built-in tool loop. The runtime calls that the agent makes at the
gateway decide what became of its trajectory. A launcher returns a report where it saw the agent itself end and knows
what it said, and None where only those calls can tell. Whatever an agent does wrong is an AgentError, nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from numbers import Real
from typing import Literal, Protocol

from turnwright.core.errors import TurnwrightError
from turnwright.core.rollout import RolloutRequest

AgentCause = Literal["agent_error", "agent_unreachable", "agent_timeout"]

DETAIL_CHARACTERS = 2000
"""Most of what an agent wrote that an error repeats."""
FORMS = (
    "a reward, a list of one reward per turn, {'reward': ..., 'components': {...}}, {'status': 'error', 'error': ...}, "
    "{'status': 'skipped'} or nothing"
)


class AgentError(TurnwrightError):
    """An agent did not make its attempt; the attempt fails, the run goes on."""

    def __init__(self, cause: AgentCause, detail: str) -> None:
        """Say what went wrong.

        Args:
            cause: "agent_error" = it was reached and broke; "agent_unreachable" = it never took the rollout, or was
                lost; "agent_timeout" = it did not end in time.
            detail: What happened, and what the agent wrote about it.
        """
        super().__init__(detail)
        self.cause: AgentCause = cause
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """What an agent that has ended said about its attempt.

    Example::

        read_report({"reward": 0.5, "components": {"format": 0.5}}, "agent desk:rollout")
        # AgentReport(rewards=(0.5,), components={"format": 0.5})
    """

    rewards: tuple[float, ...] | None = None
    """One value for the trajectory, or one per turn; None = it gave none."""
    components: Mapping[str, float] = field(default_factory=dict[str, float])
    """Named parts of the reward."""
    error: str | None = None
    """What it said went wrong."""
    skipped: bool = False
    """It chose not to attempt the task."""


def nobody() -> None:
    """Take no notice of an agent's start."""


class AgentLauncher(Protocol):
    """Reaches one agent."""

    async def launch(self, request: RolloutRequest, on_start: Callable[[], None] = nobody) -> AgentReport | None:
        """Have one attempt made; returns when the agent has ended, or has taken the attempt over.

        Cancelling it ends what it started, as far as that can be ended from outside.

        Args:
            request: What the agent is told.
            on_start: Called when the agent is about to get it; time spent waiting for a turn or a worker is not the
                agent's. Called again when the rollout is handed to another worker.

        Returns:
            What the agent said when it ended; None when the runtime calls say it.

        Raises:
            AgentError: the attempt was not made.
        """
        ...

    async def close(self) -> None:
        """Let go of connections, processes and threads; nothing is launched afterwards."""
        ...


def read_report(answer: object, agent: str) -> AgentReport:
    """Return what an agent's answer, of any of the accepted forms, says.

    Args:
        answer: A Python value, or JSON after parsing.
        agent: Names the agent in errors.

    Raises:
        AgentError: the answer has none of the forms, or a reward is not a finite number.
    """
    if answer is None:
        return AgentReport()
    if not isinstance(answer, Mapping):
        return AgentReport(rewards=_rewards(answer, agent))
    if answer.get("status") == "error":
        return AgentReport(error=str(answer.get("error") or "the agent gave no reason"))
    if answer.get("status") == "skipped":
        return AgentReport(skipped=True)
    given = [answer[name] for name in ("reward", "rewards") if answer.get(name) is not None]
    if len(given) > 1:
        raise AgentError("agent_error", f"{agent} returned both 'reward' and 'rewards': give one of them")
    rewards = _rewards(given[0], agent) if given else None
    return AgentReport(rewards=rewards, components=_components(answer.get("components"), agent))


def excerpt(text: str, request: RolloutRequest) -> str:
    """Return the end of what an agent wrote, without the keys it was given: it ends up in the run directory."""
    for key in (request.api_key, request.sampling_key):
        if key:
            text = text.replace(key, "[key]")
    text = text.strip()
    return text if len(text) <= DETAIL_CHARACTERS else "..." + text[-DETAIL_CHARACTERS:]


def _rewards(given: object, agent: str) -> tuple[float, ...]:
    if isinstance(given, Sequence) and not isinstance(given, str | bytes) and given:
        return tuple(_finite(value, f"{agent} returned a reward") for value in given)
    if isinstance(given, Real):
        return (_finite(given, f"{agent} returned a reward"),)
    raise AgentError("agent_error", f"{agent} returned {_shown(given)}: expected {FORMS}")


def _components(given: object, agent: str) -> dict[str, float]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise AgentError("agent_error", f"{agent} returned components {_shown(given)}: expected names and numbers")
    return {str(name): _finite(value, f"{agent} returned component {name!r}") for name, value in given.items()}


def _finite(given: object, what: str) -> float:
    # True is a verdict, not an amount; which reward it stands for is the agent's to say.
    if isinstance(given, Real) and not isinstance(given, bool):
        try:
            value = float(given)
        except OverflowError:
            value = float("inf")
        if isfinite(value):
            return value
    raise AgentError("agent_error", f"{what} of {_shown(given)}: expected a finite number")


def _shown(given: object) -> str:
    text = repr(given)
    return f"{text if len(text) <= 200 else text[:200] + '...'} ({type(given).__name__})"
