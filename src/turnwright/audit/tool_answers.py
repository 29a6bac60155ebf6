"""What tools answer: always the same, or something else each time."""

import json
from collections.abc import Sequence

from turnwright.audit.listing import shorten_list
from turnwright.audit.play import play
from turnwright.audit.session import Observed, calls_by_tool, calls_of, session
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.environments.base import Environment
from turnwright.environments.scripts import call, numbered, say

FEWEST_CALLS = 5
"""Different calls from which equal answers are no chance."""
LEFT_OUT = 5
"""Episodes that are played again without a tool that always answers the same."""
EMPTY = ("", "null", "{}", "[]", '""')


async def check_constant(prototype: Environment, episodes: Sequence[Episode], *, seed: int) -> tuple[Finding, ...]:
    """Report tools that answer every call alike.

    A tool that acts may well say no more than "done": it is left out, and where the episode then goes the same way,
    to the same reward, it does not act.
    """
    findings: list[Finding] = []
    for name, calls in calls_by_tool(episodes).items():
        answers = {one.text for one in calls}
        asked = {json.dumps(one.arguments, sort_keys=True) for one in calls}
        if len(asked) < FEWEST_CALLS or len(answers) > 1:
            continue
        (answer,) = answers
        empty, refused = answer.strip() in EMPTY, all(one.error for one in calls)
        if not (empty or refused) and await _acts(prototype, name, episodes, seed):
            continue
        findings.append(
            Finding(
                code="tool.constant",
                severity="error" if empty or refused else "warning",
                where=f"tool {name!r}",
                evidence=f"{len(asked)} different calls were all answered {answer[:120]!r}"
                + ("" if empty or refused else ", and leaving them out changes nothing"),
                cure="let it answer from the record that was asked for, or take it out",
            )
        )
    return tuple(findings)


async def check_random(
    one: Environment, other: Environment, episodes: Sequence[Episode], *, seed: int
) -> tuple[Finding, ...]:
    """Make the calls of episodes in two environments built anew, and name the tool where the answers part."""
    first: dict[str, tuple[Observed, Observed, int]] = {}
    for episode in episodes:
        pairs: list[tuple[Observed, ...]] = []
        for environment in (one, other):
            with session(environment, episode.task, seed) as opened:
                pairs.append(await opened.replay(calls_of(episode)))
        for left, right in zip(*pairs, strict=True):
            if left.text != right.text:
                _, _, count = first.get(left.tool, (left, right, 0))
                first[left.tool] = (left, right, count + 1)
                # What follows an answer that differs may differ for that reason.
                break
    return shorten_list(
        [
            Finding(
                code="tool.random",
                severity="error",
                where=f"tool {name!r}",
                evidence=f"on {count} of {len(episodes)} tasks the same call with the same seed was answered "
                f"differently: {dict(left.arguments)} gave {left.text[:120]!r} and {right.text[:120]!r}",
                cure="draw from Random(seed) with the seed that open() is given, and read no clock",
            )
            for name, (left, right, count) in first.items()
        ]
    )


async def _acts(prototype: Environment, name: str, episodes: Sequence[Episode], seed: int) -> bool:
    """Return whether leaving the calls of a tool out changes an answer or a reward."""
    using = [episode for episode in episodes if any(one.tool == name for one in calls_of(episode))]
    for episode in using[:LEFT_OUT]:
        kept = [one for one in calls_of(episode) if one.tool != name]
        script = [*(call(one.tool, **one.arguments) for one in kept), say(episode.answer)]
        without = await play(prototype, episode.task, numbered(script), seed=seed)
        if without.outcome != episode.outcome or [one.text for one in calls_of(without)] != [one.text for one in kept]:
            return True
    return False
