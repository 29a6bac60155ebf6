"""Rewards: dense ones as pure functions, from what is known about an episode to components by name.

A reward is a dict whose "total" is what is trained on; the other entries are its parts, for metrics. Functions that
take one return it with another total and one part more, so that they nest::

    def reward(self, episode: Episode) -> dict[str, float]:
        answer = final_answer(episode)
        dense = with_format(field_accuracy(answer, episode.task.data["gold"]), emitted=answer is not None)
        return coverage_gate(dense, tools_answered(episode), {"get_order", "get_customer"})

Begin with the rule of the evaluation alone; add a term only for variance that collapses or learning that is too slow,
and look at every play that earns more by the reward than by the score: ``turnwright check`` and ``turnwright baseline``
list them. Each function says what a policy could do to earn it without the work.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from turnwright.core.episode import Episode
from turnwright.environments.answers import FORMAT_COEFFICIENT, right_share
from turnwright.environments.base import TurnRewards

SOLVED, SPEED_BONUS, LOST, NEVER_PLAYED = 1.05, 0.5, -0.5, -1.5
"""Tiers of ``tiered_outcome``."""
SHAPING_SOLVED, SHAPING_UNSOLVED = 0.04, 0.15
"""What shaping can add or take within a tier."""


def field_accuracy(answer: Mapping[str, Any] | None, gold: Mapping[str, Any]) -> dict[str, float]:
    """Return partial credit by field: right fields / (fields of the gold answer and of the given one together).

    Values are compared as ``answers.is_right`` says.

    In [0, 1]; 0 for None, which is no readable answer. Risk: a field that has a frequent label pays for naming it
    blindly, so compare with what the majority class earns; a field that nobody asked for counts as wrong, otherwise
    naming every field one can think of would cost nothing.
    """
    accuracy = right_share(answer, gold)
    return {"total": accuracy, "field_accuracy": accuracy}


def with_format(
    reward: Mapping[str, float], *, emitted: bool, coefficient: float = FORMAT_COEFFICIENT
) -> dict[str, float]:
    """Return total + coefficient * (emitted - 1): no readable answer costs the coefficient, a readable one nothing.

    From [0, 1] this goes to [-coefficient, 1]. Risk: paid as a bonus, the form alone would be worth learning; as a cost
    it is not, as long as the coefficient stays below what one right field earns.
    """
    return {**reward, "total": reward["total"] + coefficient * (emitted - 1.0), "emitted": float(emitted)}


def coverage_gate(reward: Mapping[str, float], covered: Collection[str], needed: Collection[str]) -> dict[str, float]:
    """Return total * (share of the needed steps that were covered), where the total is positive; a cost stays whole.

    In [0, total] for a positive total. Risk: steps are taken for the gate alone, with any arguments; count as covered
    what was answered without error (``tools_answered``) or, better, what was asked about the right thing.
    """
    wanted = set(needed)
    share = len(wanted.intersection(covered)) / len(wanted) if wanted else 1.0
    total = reward["total"]
    return {**reward, "total": total * share if total > 0 else total, "coverage": share}


def tool_spam_cap(
    reward: Mapping[str, float], num_calls: int, *, free: int, cost: float = 0.01, cap: float = 0.1
) -> dict[str, float]:
    """Return total - min(cap, cost * max(0, num_calls - free)): calls beyond the free ones cost, up to the cap.

    From [0, 1] this goes to [-cap, 1]. Risk: a cost on every call pays for answering before the work is done. So leave
    free what the longest solution needs, and keep the cap below what one right field earns.
    """
    spent = min(cap, cost * max(0, num_calls - free))
    return {**reward, "total": reward["total"] - spent, "spam": -spent}


def tiered_outcome(*, played: bool, solved: bool, speed: float = 0.0, shaping: float = 0.0) -> dict[str, float]:
    """Return outcome + weight * clip(shaping, -1, 1), where no shaping lifts an outcome into the tier above.

    outcome = 1.05 + 0.5 * speed if solved, -0.5 if lost, -1.5 if never played; weight = 0.04 if solved, else 0.15. In
    [-1.65, 1.59]; every solve is at least 1.01, and so above a success threshold of 1. Of two solves the faster is
    worth more whatever their shaping, where their speeds differ by more than 0.16 (of six turns, each by 0.2).

    Args:
        played: Something that counts as an attempt was made; a refusal or a malformed reply is none.
        solved: The goal was reached.
        speed: 1 for the fastest solve, 0 for the slowest; cut to that range.
        shaping: Progress short of the goal, best as a difference of two states, so that it cannot be collected twice.

    Risk: rewards summed over turns make a long loss worth more than a quick win; tiers do not. Within a tier shaping
    still is what the policy sees most of, so keep it monotone in real progress.
    """
    if solved:
        outcome, weight = SOLVED + SPEED_BONUS * min(1.0, max(0.0, speed)), SHAPING_SOLVED
    else:
        outcome, weight = LOST if played else NEVER_PLAYED, SHAPING_UNSOLVED
    shaped = weight * min(1.0, max(-1.0, shaping))
    return {"total": outcome + shaped, "outcome": outcome, "shaping": shaped}


def per_turn(values: Sequence[float], final: Mapping[str, float]) -> TurnRewards:
    """Return one reward per turn: ``values``, and on the last turn the total of ``final`` besides.

    Their sum is the reward of the episode: sum(values) + final["total"]; without turns it is 0. The components are
    those of ``final`` and, as "turns", the sum of ``values``.

    Risk: what a turn earns is earned again by doing it again. Pay each thing once, or pay differences (``progress``).
    """
    components = {name: value for name, value in final.items() if name != "total"}
    if not values:
        return TurnRewards(values=(), components=components)
    *before, last = values
    return TurnRewards(values=(*before, last + final["total"]), components={**components, "turns": sum(values)})


def progress(potentials: Sequence[float]) -> tuple[float, ...]:
    """Return what each turn gained: potential after it - potential before it.

    ``potentials`` is one longer than there are turns: that of the opening first. The gains sum to the last potential
    less the first, however the episode went between them, so going back and forth earns nothing (Ng, Harada and Russell
    1999, with a discount of 1).
    """
    return tuple(after - before for before, after in pairwise(potentials))


def tools_answered(episode: Episode) -> frozenset[str]:
    """Return the names of the tools that answered a call without an error."""
    return frozenset(tool.name for turn in episode.turns for tool in turn.tools if not tool.error)


def num_calls(episode: Episode) -> int:
    """Return how many tool calls the policy made, malformed ones included."""
    return sum(len(turn.reply.tool_calls) for turn in episode.turns)
