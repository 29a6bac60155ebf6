"""Hermetic: an episode reads nothing but its task and its seed - no network, no clock, no other randomness."""

from collections.abc import Iterable, Mapping, Sequence

from turnwright.audit.listing import shorten_list
from turnwright.audit.play import play_again
from turnwright.audit.watch import Kind, Use, watch
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.environments.base import Environment
from turnwright.rollout.runner import run_episode

WATCHED_EPISODES = 10
"""Episodes that are watched: watching makes Python several times slower."""

CURES: Mapping[Kind, str] = {
    "network": "record what the service answers and replay the recordings",
    "clock": "put the time into the task's data, or derive it from the seed",
    "random": "draw from Random(seed) with the seed that open() is given",
}


async def check_hermetic(prototype: Environment, episodes: Sequence[Episode], *, seed: int) -> tuple[Finding, ...]:
    """Play episodes again under a watch, from open to close, and name each line that reached out."""
    with watch(type(prototype), run_episode.__code__) as watching:
        for episode in episodes[:WATCHED_EPISODES]:
            await play_again(prototype, episode, seed=seed)
    return tuple(finding for kind, cure in CURES.items() for finding in _findings(kind, cure, watching.uses))


def _findings(kind: Kind, cure: str, uses: Iterable[Use]) -> tuple[Finding, ...]:
    return shorten_list(
        [
            Finding(
                code=f"hermetic.{kind}", severity="error", where=use.where, evidence=f"it uses {use.what}", cure=cure
            )
            for use in uses
            if use.kind == kind
        ]
    )
