"""Hermetic: an episode reads nothing but its task and its seed - no network, no clock, no other randomness."""

from collections.abc import Iterable, Mapping, Sequence

from turnwright.audit.apart import has_left_network
from turnwright.audit.frames import OwnCode, Use
from turnwright.audit.listing import shorten_list
from turnwright.audit.play import play_again
from turnwright.audit.watch import watch
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding, Severity
from turnwright.environments.base import Environment
from turnwright.rollout.runner import run_episode

WATCHED_EPISODES = 10
"""Episodes that are watched: watching makes Python several times slower."""

CURES: Mapping[str, str] = {
    "network": "record what the service answers and replay the recordings",
    "clock": "put the time into the task's data, or derive it from the seed",
    "random": "draw from Random(seed) with the seed that open() is given",
    "process": "run programs in the product's sandbox, which has limits and no network",
    "write": "write into a folder that open() creates and close() removes, such as a TemporaryFolder",
}


async def watch_episodes(
    prototype: Environment, own: OwnCode, episodes: Sequence[Episode], *, seed: int
) -> tuple[Use, ...]:
    """Play episodes again under a watch, from open to close; return each line that reads a clock or draws."""
    with watch(own, run_episode.__code__) as watching:
        for episode in episodes[:WATCHED_EPISODES]:
            await play_again(prototype, episode, seed=seed)
    return tuple(watching.uses)


def check_hermetic(uses: Iterable[Use], *, allow_network: bool) -> tuple[Finding, ...]:
    """Report each line that reached out of its episode."""
    warned = {"process", "write", *(("network",) if allow_network else ())}
    by_kind: dict[str, list[Use]] = {kind: [] for kind in CURES}
    for use in uses:
        by_kind[use.kind].append(use)
    return tuple(
        finding
        for kind, some in by_kind.items()
        for finding in shorten_list([_finding(use, "warning" if kind in warned else "error") for use in some])
    )


def _reach(use: Use) -> str:
    if use.kind != "process":
        return ""
    return ", which found no network here" if has_left_network() else ", with whatever network there is"


def _finding(use: Use, severity: Severity) -> Finding:
    return Finding(
        code=f"hermetic.{use.kind}",
        severity=severity,
        where=use.where,
        evidence=f"it uses {use.what}{_reach(use)}",
        cure=CURES[use.kind],
    )
