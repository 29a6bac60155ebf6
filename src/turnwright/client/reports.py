"""Reports: what an agent has to say about its rollout, as values, before anything is sent.

A handler's result -> the reports it stands for. Everything a gateway would refuse on sight (NaN, text, no values) is
refused here, with the caller still on the stack.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, TypeAlias

Status = Literal["ready", "failed"]
RewardValue: TypeAlias = "Real | float | Sequence[Real | float]"
"""One number for the whole trajectory, or a list with one number per turn."""

_MOST_DETAIL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One call to make: its path and the fields of its body, without identity."""

    path: str
    fields: Mapping[str, Any]


def completion(status: Status, detail: str = "") -> Report:
    """Return the report that seals a trajectory.

    Args:
        status: "ready" when it may be trained, "failed" when it must not be.
        detail: Why it failed; kept with the trajectory.
    """
    if status not in ("ready", "failed"):
        raise ValueError(f"status must be 'ready' or 'failed', got {status!r}")
    fields = {"Status": status, "Detail": detail[:_MOST_DETAIL_CHARACTERS]} if detail else {"Status": status}
    return Report(path="/complete-rollout", fields=fields)


def rewarding(value: RewardValue, components: Mapping[str, Real | float] | None = None) -> Report:
    """Return the report that rewards a trajectory.

    Args:
        value: The reward, or a list with one reward per turn.
        components: Named parts of the reward, shown beside it and not trained on.

    Raises:
        TypeError: Something is not a number.
        ValueError: A number is not finite, or the list is empty.
    """
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if not value:
            raise ValueError("rewards per turn must not be empty; for one reward of the whole trajectory give a number")
        rewards = [_finite(each, f"reward of turn {turn}") for turn, each in enumerate(value)]
    else:
        rewards = [_finite(value, "reward")]
    fields: dict[str, Any] = {"Rewards": rewards}
    if components is not None and not isinstance(components, Mapping):
        raise TypeError(f"components must map names to numbers, got {type(components).__name__}: {components!r:.200}")
    if components:
        fields["Components"] = {str(name): _finite(part, f"component {name!r}") for name, part in components.items()}
    return Report(path="/update-reward", fields=fields)


def reports_for(result: object) -> tuple[Report, ...]:
    """Return what a handler's result stands for, in the order of sending.

    ======================================  ==============================================
    number                                  complete, reward of the trajectory
    list                                    complete, reward per turn
    {"reward": ..., "components": {...}}    the same, with named parts; components optional
    None, or a dict without reward          complete; somebody else gives the reward
    {"status": "error", "error": "..."}     failed, never trained
    {"status": "skipped"}                   nothing
    ======================================  ==============================================

    Raises:
        TypeError: The result is anything else.
        ValueError: A reward is not finite, or the list is empty.
    """
    if isinstance(result, Mapping):
        return _reports_for_mapping(result)
    if result is None:
        return (completion("ready"),)
    if isinstance(result, Real | list | tuple) and not isinstance(result, bool):
        return (completion("ready"), rewarding(result))
    raise TypeError(
        f"a rollout handler must return a number, a list of numbers, a dict or None, got {type(result).__name__}: "
        f"{result!r:.200}"
    )


def _reports_for_mapping(result: Mapping[str, Any]) -> tuple[Report, ...]:
    if result.get("status") == "skipped":
        return ()
    if result.get("status") == "error":
        return (completion("failed", str(result.get("error", "the agent returned status 'error'"))),)
    if result.get("reward") is None:
        return (completion("ready"),)
    return (completion("ready"), rewarding(result["reward"], result.get("components")))


def _finite(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{what} must be a number, got {type(value).__name__}: {value!r:.200}; convert it with float()")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{what} must be finite, got {number}; an attempt without a reward is an error, not a number")
    return number
