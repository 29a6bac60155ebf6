"""Rewards: in range, ordered as the plays are, never higher for repeating a call, and defined for any answer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from turnwright.audit.attacks import Attacks
from turnwright.audit.judge import Judge
from turnwright.audit.play import play
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.core.message import Message
from turnwright.core.outcome import Failed
from turnwright.environments.base import Environment
from turnwright.environments.scripts import numbered, say

USUAL_RANGE = (-1.0, 1.0)
"""What a reward lies in unless the environment says ``reward_range = (low, high)``."""
TOLERANCE = 1e-9
OFTEN = 0.1
"""Share of tasks from which a worse play that earns more is no odd case."""
REPETITIONS = 4
LONG_ANSWER = 200_000
"""Characters; a policy that does not stop writes them."""


async def check_rewards(
    prototype: Environment,
    solved: Sequence[Episode],
    idle: Mapping[str, Sequence[Episode]],
    attacks: Attacks,
    judge: Judge,
    *,
    repeated: int,
    seed: int,
) -> tuple[Finding, ...]:
    """Check the reward on plays whose order is known, and on answers that hardly anybody expects.

    Calls are repeated one by one in ``repeated`` solutions.
    """
    odd = [
        await play(prototype, episode.task, numbered([say(text)]), seed=seed)
        for episode in solved[:2]
        for text in ("x" * LONG_ANSWER, "\x00\ufffd\U0001f600", "{" * 5000, "NaN", '<a b="">')
    ]
    for episode in odd:
        judge.by_score(episode)
    every = [*solved, *attacks.played, *odd, *(episode for episodes in idle.values() for episode in episodes)]
    short = [await _first_call(prototype, episode, seed) for episode in solved[:repeated]]
    halves = [await _half(prototype, episode, seed) for episode in solved[:repeated]]
    return (
        *_breaks(every),
        *_scorer_breaks(judge.breaks),
        *_out_of_range(prototype, every),
        *_order(solved, idle.get("nothing", ()), "saying nothing at all"),
        *_order(attacks.right, attacks.wrong, "the same calls with a wrong answer"),
        *_order(solved, halves, "half of the solution"),
        *await _spam(prototype, [*short, *solved[:repeated], *attacks.wrong[:repeated]], seed),
    )


def _breaks(episodes: Iterable[Episode]) -> Iterator[Finding]:
    broken = [(e, e.outcome) for e in episodes if isinstance(e.outcome, Failed) and e.outcome.cause == "grader_error"]
    for episode, outcome in broken[:1]:
        yield Finding(
            code="reward.breaks",
            severity="error",
            where=f"reward, task {episode.key.task_id}",
            evidence=f"it raises on {len(broken)} plays, such as the final reply {episode.answer[:120]!r}: "
            f"{outcome.detail[:200]}",
            cure="grade whatever a policy may write: an attempt whose grading breaks is thrown away, not punished",
        )


def _scorer_breaks(breaks: Sequence[str]) -> Iterator[Finding]:
    if breaks:
        yield Finding(
            code="scorer.breaks",
            severity="error",
            where="scorer",
            evidence=f"it raises on {len(breaks)} plays, such as {breaks[0][:300]}",
            cure="score whatever a policy may write: one such reply ends an evaluation",
        )


def _out_of_range(prototype: Environment, episodes: Iterable[Episode]) -> Iterator[Finding]:
    low, high = getattr(prototype, "reward_range", USUAL_RANGE)
    values = [e.outcome.value for e in episodes if not isinstance(e.outcome, Failed)]
    outside = [value for value in values if not low - TOLERANCE <= value <= high + TOLERANCE]
    if outside:
        yield Finding(
            code="reward.range",
            severity="warning",
            where="reward",
            evidence=f"{len(outside)} of {len(values)} plays earn less than {low:g} or more than {high:g}: rewards go "
            f"from {min(values):g} to {max(values):g}",
            cure="scale it into [0, 1], or [-1, 1] with penalties, as every threshold expects; where more is meant, "
            "say so: reward_range = (low, high) on the environment",
        )


def _order(better: Sequence[Episode], worse: Sequence[Episode], name: str) -> Iterator[Finding]:
    """Compare plays of the same tasks, of which the second ones are worse."""
    rewards = {e.key.task_id: e.outcome.value for e in better if not isinstance(e.outcome, Failed)}
    pairs = [
        (e.key.task_id, rewards[e.key.task_id], e.outcome.value)
        for e in worse
        if e.key.task_id in rewards and not isinstance(e.outcome, Failed)
    ]
    turned = [pair for pair in pairs if pair[2] > pair[1] + TOLERANCE]
    if turned and len(turned) >= OFTEN * len(pairs):
        task, solution, other = turned[0]
        yield Finding(
            code="reward.order",
            severity="error",
            where=f"reward, task {task}",
            evidence=f"{name} earns more than the solution on {len(turned)} of {len(pairs)} tasks, here {other:g} "
            f"against {solution:g}",
            cure="bound the shaping terms so that no sum of them outweighs the outcome, and test the order of plays",
        )


async def _half(prototype: Environment, episode: Episode, seed: int) -> Episode:
    replies = [turn.reply for turn in episode.turns]
    return await play(prototype, episode.task, numbered([*replies[: len(replies) // 2], say("")]), seed=seed)


async def _first_call(prototype: Environment, episode: Episode, seed: int) -> Episode:
    """Play the first call of a solution and no more, where a bonus for calls has not met its cap."""
    calling = [turn.reply for turn in episode.turns if turn.reply.tool_calls][:1]
    return await play(prototype, episode.task, numbered([*calling, say("")]), seed=seed)


async def _spam(prototype: Environment, episodes: Sequence[Episode], seed: int) -> list[Finding]:
    """Repeat single calls that are answered as before; a reward that grows with them pays for the asking."""
    paid: dict[str, tuple[Episode, float]] = {}
    for episode in episodes:
        for position, turn in enumerate(episode.turns):
            names = {call.name for call in turn.reply.tool_calls}
            if len(names) != 1 or names & paid.keys() or isinstance(episode.outcome, Failed):
                continue
            longer = [await _repeated(prototype, episode, position, times, seed) for times in (1, REPETITIONS)]
            if any(isinstance(one.outcome, Failed) or not _unmoved(one, turn.reply) for one in longer):
                continue
            rewards = [one.outcome.value for one in (episode, *longer) if not isinstance(one.outcome, Failed)]
            if rewards[-1] > rewards[0] + TOLERANCE and rewards == sorted(rewards):
                paid[names.pop()] = (episode, rewards[-1])
    return [
        Finding(
            code="reward.spam",
            severity="error",
            where=f"tool {name!r}",
            evidence=f"calling it {REPETITIONS} times more, with the same answer each time, raises the reward from "
            f"{episode.outcome.value:g} to {reward:g} (task {episode.key.task_id})",
            cure="pay for what was found out, not for calls; count a call once, or cap what calls can earn below the "
            "outcome",
        )
        for name, (episode, reward) in paid.items()
        if not isinstance(episode.outcome, Failed)
    ]


async def _repeated(prototype: Environment, episode: Episode, position: int, times: int, seed: int) -> Episode:
    replies = [turn.reply for turn in episode.turns]
    script: Sequence[Message] = [*replies[:position], *[replies[position]] * (times + 1), *replies[position + 1 :]]
    return await play(prototype, episode.task, numbered(script), seed=seed)


def _unmoved(episode: Episode, reply: Message) -> bool:
    """Return whether the repeated call was answered alike each time."""
    asked = [(call.name, call.arguments) for call in reply.tool_calls]
    answers = {
        tuple(response.content for response in turn.responses)
        for turn in episode.turns
        if [(call.name, call.arguments) for call in turn.reply.tool_calls] == asked
    }
    return len(answers) == 1
