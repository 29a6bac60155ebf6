"""Picture: a run at one moment, and what of it is well and what is not. Nothing is read here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from turnwright.core.finding import Finding
from turnwright.rundir.records import ENDED, Phase
from turnwright.tracking.recent import Metrics, Recent

PATIENCE = 60.0
"""Seconds without a sign of life after which nobody is expected to go on with an interrupted run."""
SILENCE = 30.0
"""Seconds without a sign of life that are worth a word."""
FEW_FAILURES = 0.01
"""Share of failed attempts that any environment may have."""

Level = Literal["good", "warning", "bad"]
State = Phase | Literal["interrupted"]
"""The phase; "interrupted" when the run neither ended nor has a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """One thing that is well or not."""

    about: Literal["process", "pause", "watchdog", "silence", "finding", "failures"]
    level: Level
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A run at one moment; None = not known (yet)."""

    name: str
    path: Path
    state: State
    message: str
    """Why it ended or paused, or what it waits for; empty = nothing to say."""
    launch: int
    """Number of the process that writes, from 1."""
    step: int
    """The step that is being made, or was last."""
    num_steps: int | None
    is_last_step_known: bool
    """Whether ``num_steps`` is what the run does, and not the limit in its settings."""
    seconds_left: float | None
    recent: Recent
    metrics: tuple[Metrics, ...]
    """One record per step that was reported, in order."""
    staleness_bound: int | None
    failed_limit: float | None
    """Share of failed attempts above which the run pauses."""
    watchdog_seconds: float | None
    open_groups: int
    """Groups that are dealt and not yet part of a closed step."""
    ended_attempts: int
    """Of the open groups."""
    wanted_attempts: int | None
    """Of the open groups, in all."""
    findings: tuple[Finding, ...]
    silent_seconds: float
    """Age of the last sign of life: the status, or a line that was written anywhere."""

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, or nobody is expected to go on with it."""
        return self.state in ENDED or (self.state == "interrupted" and self.silent_seconds > PATIENCE)

    @property
    def lights(self) -> tuple[Light, ...]:
        """What is well and what is not, the worst first."""
        found: list[Light] = []
        if self.state == "interrupted":
            found.append(Light(about="process", level="bad", text="interrupted: no process writes the run"))
        elif self.state == "paused":
            found.append(Light(about="pause", level="bad", text=f"paused: {self.message or 'too many failures'}"))
        elif self.message and self.state not in ENDED:
            found.append(Light(about="watchdog", level="warning", text=self.message))
        if self.state not in ENDED and self.silent_seconds > SILENCE:
            limit = self.watchdog_seconds
            level = "bad" if limit is not None and self.silent_seconds > limit else "warning"
            text = f"no sign of life for {age(self.silent_seconds)}"
            found.append(Light(about="silence", level=level, text=text))
        if serious := [finding for finding in self.findings if finding.severity != "info"]:
            level = "bad" if any(finding.severity == "error" for finding in serious) else "warning"
            last = serious[-1]
            text = f"{last.code} ({last.where}), {len(serious)} findings"
            found.append(Light(about="finding", level=level, text=text))
        if (failed := self.recent.failed_fraction) is not None:
            limit = self.failed_limit
            level = "bad" if limit is not None and failed > limit else "warning" if failed > FEW_FAILURES else "good"
            most = "" if limit is None else f" of at most {limit:.0%}"
            found.append(Light(about="failures", level=level, text=f"failed {failed:.1%}{most}"))
        order = get_args(Level)
        return tuple(sorted(found, key=lambda light: -order.index(light.level)))


def age(seconds: float) -> str:
    """Return how long ago something was, in one unit."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
