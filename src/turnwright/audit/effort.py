"""Effort: how many plays each part of an audit takes. Numbers, not seconds, so that a result can be repeated.

An environment that starts programs, such as one that runs code in the sandbox, takes a hundred times as long per play
as one made of functions, and gets fewer of them.
"""

from dataclasses import dataclass

SLOW_SECONDS = 0.15
"""World's time of one solution from which an environment counts as slow without starting programs: ten times what the
slowest of ours takes, so that machines do not disagree about any of them.
"""
TRIED = 3
"""Solutions that are played before the effort is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Numbers of tasks or solutions that are played."""

    solutions: int
    """Tasks that are solved."""
    idle: int
    """Tasks for each play without knowledge."""
    replayed: int
    """Solutions played again."""
    probed: int
    """Solutions whose tools are called again otherwise."""
    attacked: int
    """Solved tasks on which each attack on the grader is tried."""
    repeated: int
    """Solutions whose calls are repeated one by one."""


ORDINARY = Effort(solutions=100_000, idle=100, replayed=20, probed=40, attacked=24, repeated=5)
SLOW = Effort(solutions=20, idle=12, replayed=4, probed=10, attacked=4, repeated=1)


def choose_effort(*, starts_programs: bool, seconds: float) -> Effort:
    """Return the effort for an environment.

    Args:
        starts_programs: Whether its solutions start any.
        seconds: What the fastest of the first solutions took.
    """
    return SLOW if starts_programs or seconds > SLOW_SECONDS else ORDINARY
