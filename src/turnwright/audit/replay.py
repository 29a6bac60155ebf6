"""Replay and isolation: the same task, seed and actions must give the same messages, alone and side by side."""

import asyncio
from collections.abc import Sequence

from turnwright.audit.listing import shorten_list
from turnwright.audit.play import find_difference, play_again
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.environments.base import Environment

SIDE_BY_SIDE = 8
"""Episodes open at once when isolation is checked."""


async def check_replay(
    prototype: Environment, fresh: Environment, episodes: Sequence[Episode], *, seed: int
) -> tuple[Finding, ...]:
    """Play the episodes' actions again: on the prototype that has played before, and on a fresh one."""
    findings: list[Finding] = []
    for episode in episodes:
        for environment, where in ((prototype, "in the same process"), (fresh, "in an environment built anew")):
            difference = find_difference(episode, await play_again(environment, episode, seed=seed))
            if difference:
                findings.append(
                    Finding(
                        code="replay.diff",
                        severity="error",
                        where=episode.key.task_id,
                        evidence=f"the same actions, played again {where}: {difference}",
                        cure="take randomness from the seed given to open() only, read no clock, and create everything "
                        "an episode changes in open()",
                    )
                )
                break
    return shorten_list(findings)


async def check_isolation(prototype: Environment, episodes: Sequence[Episode], *, seed: int) -> tuple[Finding, ...]:
    """Play the episodes' actions side by side; each must go as it went alone."""
    findings: list[Finding] = []
    for start in range(0, len(episodes), SIDE_BY_SIDE):
        together = episodes[start : start + SIDE_BY_SIDE]
        again = await asyncio.gather(*(play_again(prototype, episode, seed=seed) for episode in together))
        for alone, beside in zip(together, again, strict=True):
            difference = find_difference(alone, beside)
            if difference:
                findings.append(
                    Finding(
                        code="isolation.crosstalk",
                        severity="error",
                        where=alone.key.task_id,
                        evidence=f"played beside {len(together) - 1} other episodes: {difference}",
                        cure="keep nothing that an episode changes in the class or in what __init__ builds: create it "
                        "in open()",
                    )
                )
    return shorten_list(findings)
