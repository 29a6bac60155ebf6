"""ConsoleSink: a run on the terminal. On a TTY a panel that is redrawn in place, elsewhere one plain line per step.

Drawn when a step's metrics arrive and at no other time, so it needs no thread. Colours follow NO_COLOR.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from turnwright.config.mixing import DOMAIN

_RECENT_STEPS = 10
"""Steps whose mean duration gives the ETA."""
_Z_95 = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing to read: a panel shows label and text, a plain line only what is marked short."""

    label: str
    text: str
    short: str = ""
    """How a plain line says it; empty = not at all."""


class ConsoleSink:
    """A Sink that shows the last step, what is left, and the last validation."""

    def __init__(
        self,
        *,
        num_steps: int,
        title: str = "turnwright",
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show nothing yet.

        Args:
            num_steps: last step of the run.
            title: heading of the panel, such as the run's name.
            console: where to draw; a panel only when it is a terminal.
            clock: seconds, for the ETA.
        """
        self._num_steps = num_steps
        self._title = title
        self._console = console or Console(highlight=False)
        self._clock = clock
        self._ends: deque[float] = deque([clock()], maxlen=_RECENT_STEPS + 1)
        self._validation: Line | None = None
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Draw a step."""
        if step > 0:
            self._ends.append(self._clock())
        else:
            self._ends[0] = self._clock()
        validation = describe_validation(step, values)
        self._validation = validation or self._validation
        lines = [self._describe_progress(step), *describe_step(values)]
        if self._live is None:
            shown = [*lines, validation] if validation else lines
            self._console.print("  ".join(line.short for line in shown if line.short), soft_wrap=True, markup=False)
            return
        if self._validation:
            lines.append(self._validation)
        if not self._live.is_started:
            self._live.start()
        self._live.update(self._panel(lines), refresh=True)

    def close(self) -> None:
        """Leave the last panel on the screen."""
        if self._live is not None and self._live.is_started:
            self._live.stop()

    def _panel(self, lines: list[Line]) -> Panel:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for line in lines:
            table.add_row(line.label, line.text)
        return Panel(table, title=self._title, title_align="left", border_style="dim")

    def _describe_progress(self, step: int) -> Line:
        text = f"{step}/{self._num_steps}"
        if len(self._ends) < 2:
            return Line(label="step", text=text, short=f"step {text}")
        seconds = (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)
        left = duration(seconds * max(0, self._num_steps - step))
        return Line(
            label="step",
            text=f"{text}   {seconds:.1f} s per step   {left} left",
            short=f"step {text}  {seconds:.1f} s/step  ETA {left}",
        )


def describe_step(values: Mapping[str, float]) -> list[Line]:
    """Return what a training step's metrics say; a metric that is missing is left out."""
    return [
        line
        for line in (
            _reward(values),
            _domains(values),
            _speed(values),
            _outcomes(values),
            _groups(values),
            _tools(values),
            _policy(values),
        )
        if line is not None
    ]


def describe_validation(step: int, values: Mapping[str, float]) -> Line | None:
    """Return what a step's validation says; None when it had none."""
    parts = [
        f"{label} {values[name]:.3f}"
        for label, name in (
            ("success", "val/score/success"),
            ("field accuracy", "val/score/field_accuracy"),
            ("reward", "val/reward/mean"),
        )
        if name in values
    ]
    if not parts:
        return None
    judge = "val/score/success" if "val/score/success" in values else "val/reward/mean"
    parts += [f"{domain} {value:.3f}" for domain, value in by_domain(values, judge).items()]
    return Line(label="validation", text=f"{'   '.join(parts)}   (step {step})", short=f"val {', '.join(parts)}")


def by_domain(values: Mapping[str, float], name: str) -> dict[str, float]:
    """Return a metric of each domain of a mixture, such as ``returns/val/reward/mean``; empty outside a mixture."""
    found = {key.removesuffix(f"/{name}"): value for key, value in values.items() if key.endswith(f"/{name}")}
    return {domain: value for domain, value in found.items() if DOMAIN.fullmatch(domain) and domain != "val"}


def reward_half_width(values: Mapping[str, float]) -> float | None:
    """Return half of the 95 % interval of the mean reward, with the group as the unit; None for fewer than 2 groups.

    Attempts of a group share their task, so only the spread between groups says how sure the mean is: with V the
    population variance of the n group means, 1.96 sqrt(V / (n - 1)). Groups that filling replaced have played too.
    """
    variance = values.get("analysis/reward_variance_across_groups")
    groups = values.get("training/num_groups", 0.0) + values.get("rollout/fill/groups", 0.0)
    if variance is None or groups < 2:
        return None
    return _Z_95 * math.sqrt(variance / (groups - 1))


def duration(seconds: float) -> str:
    """Return seconds as 4:05 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _reward(values: Mapping[str, float]) -> Line | None:
    mean = values.get("rollout/reward/mean")
    if mean is None:
        return None
    half = reward_half_width(values)
    text = f"{mean:.3f}" if half is None else f"{mean:.3f} +- {half:.3f} (95 %)"
    success = values.get("score/success")
    scored = "" if success is None else f"   independent score {success:.3f}"
    return Line(label="reward", text=f"{text}{scored}", short=f"reward {text}")


def _domains(values: Mapping[str, float]) -> Line | None:
    rewards = by_domain(values, "rollout/reward/mean")
    if not rewards:
        return None
    scores = by_domain(values, "score/success")
    texts = [f"{d} {reward:.3f}" + (f" ({scores[d]:.3f})" if d in scores else "") for d, reward in rewards.items()]
    return Line(label="domains", text="   ".join(texts), short=", ".join(texts))


def _speed(values: Mapping[str, float]) -> Line | None:
    rates = [
        (name, short, values[tokens] / values[seconds])
        for name, short, tokens, seconds in (
            ("generation", "gen", "cost/sampled_tokens", "timing_s/rollout"),
            ("training", "train", "cost/trained_tokens", "timing_s/training"),
        )
        if tokens in values and values.get(seconds, 0.0) > 0
    ]
    if not rates:
        return None
    return Line(
        label="tokens/s",
        text="   ".join(f"{name} {rate:,.0f}" for name, _, rate in rates),
        short="tokens/s " + ", ".join(f"{short} {rate:,.0f}" for _, short, rate in rates),
    )


def _outcomes(values: Mapping[str, float]) -> Line | None:
    shares = [
        f"{name} {values[key]:.1%}"
        for name in ("rewarded", "truncated", "failed")
        if (key := f"rollout/outcome/{name}_frac") in values
    ]
    if not shares:
        return None
    return Line(label="outcomes", text="   ".join(shares), short=", ".join(shares))


def _groups(values: Mapping[str, float]) -> Line | None:
    live, groups = values.get("analysis/live_groups"), values.get("training/num_groups")
    if live is None or groups is None:
        return None
    uniform = [
        f"{label} {values[name]:.0f}"
        for label, name in (
            ("all solved", "analysis/zero_adv_nonzero_reward"),
            ("none solved", "analysis/zero_adv_zero_reward"),
        )
        if name in values
    ]
    text, short = "   ".join([f"{live:.0f}/{groups:.0f} with signal", *uniform]), f"groups {live:.0f}/{groups:.0f}"
    if replaced := values.get("rollout/fill/groups"):
        text, short = f"{text}   {replaced:.0f} replaced", f"{short}, {replaced:.0f} replaced"
    return Line(label="groups", text=text, short=short)


def _tools(values: Mapping[str, float]) -> Line | None:
    calls = values.get("rollout/tools/calls")
    if calls is None:
        return None
    errors = values.get("rollout/tools/error_frac", 0.0)
    malformed = values.get("rollout/tools/malformed_frac", 0.0)
    return Line(label="tools", text=f"{calls:.1f} calls   errors {errors:.1%}   malformed {malformed:.1%}")


def _policy(values: Mapping[str, float]) -> Line | None:
    parts = [
        f"{label} {values[name]:.3g}"
        for label, name in (
            ("entropy", "training/entropy"),
            ("KL to sampler", "training/kl_to_sampler"),
            ("clipped", "training/clip_fraction"),
            ("grad norm", "training/grad_norm"),
        )
        if name in values
    ]
    return Line(label="policy", text="   ".join(parts)) if parts else None
