"""States: what an agent may still do with its trajectory, and how the attempt counts in the end.

    open --complete ready--> ready --reward--> rewarded
      |                        |
      +--complete failed-------+--abort--> failed

A reward may come before the seal; it takes effect at ``ready``. How each end counts:

    sealed ready, rewarded                         Rewarded; Truncated when a limit cut the attempt
    sealed failed                                  Failed("agent_error"), also when a reward follows
    sealed ready, not one reply reached the agent  Failed("no_sample")
    one reward per turn given, then more turns     Failed("bad_reward")
    ended by the run                               Failed(its cause): "no_reward", "timeout", "interrupted", ...
    a call lost to our engine and never made good  Failed("engine_error"), whatever the agent says
    a record that could not be written             Failed("record_error"), whatever the agent says

Nothing here waits or does I/O.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from turnwright.core.outcome import Failed, Outcome, TruncationCause
from turnwright.gateway.refusals import Refusal
from turnwright.rundir.gateway_records import SealStatus, outcome_of

SessionState = Literal["open", "ready", "failed", "rewarded"]

MAX_REWARD = 1e6
"""Largest reward by magnitude. Nobody means more, and squares and sums of what is far above it overflow in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """An accepted completion."""

    status: SealStatus
    detail: str
    client_token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """An accepted reward."""

    values: tuple[float, ...]
    """One = the trajectory's; otherwise one per turn."""
    components: Mapping[str, float]
    client_token: str | None


class States:
    """The state machine of one trajectory."""

    def __init__(self, trajectory_id: str) -> None:
        """Start open.

        Args:
            trajectory_id: Named in refusals.
        """
        self.seal: Seal | None = None
        self.reward: Reward | None = None
        self.outcome: Outcome | None = None
        """How the attempt counts; set once, by ``settle``."""
        self._trajectory_id = trajectory_id
        self._aborted: Failed | None = None

    @property
    def state(self) -> SessionState:
        """Where the trajectory stands."""
        if isinstance(self.outcome, Failed) or (self.seal is not None and self.seal.status == "failed"):
            return "failed"
        if self.seal is None:
            return "open"
        return "ready" if self.reward is None else "rewarded"

    def require_open(self) -> None:
        """Raise Refusal after the seal."""
        if self.seal is not None:
            raise self._conflict("a model call needs an open one; ask for a new rollout")

    def accept_seal(self, status: SealStatus, client_token: str | None, detail: str) -> bool:
        """Take a completion.

        Returns:
            False when it repeats the accepted one, so that nothing changes.

        Raises:
            Refusal: It is sealed already.
        """
        if self.seal is not None:
            if client_token is not None and client_token == self.seal.client_token:
                return False
            raise self._conflict("it can be completed once; a repetition must have the same ClientToken")
        self.seal = Seal(status=status, detail=detail, client_token=client_token)
        return True

    def accept_reward(
        self, values: Sequence[float], client_token: str | None, components: Mapping[str, float], *, num_turns: int
    ) -> bool:
        """Take a reward.

        Args:
            values: One, or one per turn.
            client_token: Tells a repetition from a second reward.
            components: Named parts of it.
            num_turns: Turns whose reply reached the agent.

        Returns:
            False when it repeats the accepted one, so that nothing changes.

        Raises:
            Refusal: It has a reward already, the run has ended it, or the values are no reward.
        """
        if self.reward is not None:
            if client_token is not None and client_token == self.reward.client_token:
                return False
            raise self._conflict("it has its reward; a repetition must have the same ClientToken")
        if self._aborted is not None:
            raise self._conflict(f"the run ended it before its reward came ({self._aborted.cause})")
        if len(values) not in {1, max(1, num_turns)}:
            raise Refusal(
                "validation",
                "Rewards must have one value for the trajectory, or one per turn whose reply reached the agent: got "
                f"{len(values)} values, expected 1 or {num_turns}",
                field="Rewards",
            )
        for position, value in enumerate(values):
            _require_reward(value, f"Rewards[{position}]")
        for name, value in components.items():
            _require_reward(value, f"Components.{name[:80]}")
        self.reward = Reward(values=tuple(values), components=dict(components), client_token=client_token)
        return True

    def accept_abort(self, cause: str, detail: str) -> bool:
        """Let the run end it; False when it has ended already."""
        if self.outcome is not None or self._aborted is not None:
            return False
        self._aborted = Failed(cause=cause, detail=detail)
        if self.seal is None:
            self.seal = Seal(status="failed", detail=f"{cause}: {detail}", client_token=None)
        return True

    def settle(self, *, num_turns: int, truncation: TruncationCause | None, failure: Failed | None) -> Outcome | None:
        """Return how the attempt counts, and keep it; None while it is open or waits for its reward.

        Args:
            num_turns: Turns whose reply reached the agent.
            truncation: The limit that cut the attempt.
            failure: What broke on our side.
        """
        if self.seal is None or self.outcome is not None:
            return self.outcome
        self.outcome = (
            failure
            or self._aborted
            or outcome_of(
                status=self.seal.status,
                rewards=self.reward.values if self.reward else None,
                num_turns=num_turns,
                detail=self.seal.detail,
                components=self.reward.components if self.reward else None,
                truncation=truncation,
            )
        )
        return self.outcome

    def _conflict(self, why: str) -> Refusal:
        # AWS's agent SDK looks for the first three words to tell a trajectory that is over from an error.
        return Refusal(
            "conflict",
            f"Cannot transition trajectory {self._trajectory_id!r}: it is {self.state!r}, and {why}",
            reason="sealed",
        )


def _require_reward(value: float, field: str) -> None:
    if not math.isfinite(value) or abs(value) > MAX_REWARD:
        raise Refusal(
            "validation",
            f"{field} must be a finite number of at most {MAX_REWARD:g} by magnitude: got {value}; scale the reward, "
            "or complete the trajectory as 'failed' when it cannot be graded",
            field=field,
        )
