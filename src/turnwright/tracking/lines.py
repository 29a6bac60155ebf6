"""What the metrics of a step say, as lines to read: for a panel that is redrawn, or in one plain line.

Pure: metrics in, text out. A metric that is missing is left out.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from turnwright.config.mixing import DOMAIN
from turnwright.core.timeline import ROLLOUT, time_shares

_Z_95 = 1.96
_SHORT = {"generation": "gen", "training": "train"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing to read: a panel shows label and text, a plain line only what is marked short."""

    label: str
    text: str | Text
    short: str = ""
    """How a plain line says it; empty = not at all."""


def panel(lines: Iterable[Line], *, title: str) -> Panel:
    """Return lines as a panel, one row each, cut where the terminal ends."""
    rows = list(lines)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=max(len(line.label) for line in rows))
    table.add_column(no_wrap=True, overflow="ellipsis")
    for line in rows:
        # As Text: a name or a message may hold square brackets, which are markup in plain strings.
        table.add_row(line.label, line.text if isinstance(line.text, Text) else Text(line.text))
    return Panel(table, title=Text(title), title_align="left", border_style="dim")


def in_one_line(lines: Iterable[Line]) -> str:
    """Return what is marked short."""
    return "  ".join(line.short for line in lines if line.short)


def describe_progress(step: int, num_steps: int, seconds: float | None = None, left: float | None = None) -> Line:
    """Return how far a run is; ``seconds`` a step takes, and seconds left, where they are known."""
    texts, shorts = [f"{step}/{num_steps}"], [f"step {step}/{num_steps}"]
    if seconds is not None:
        texts.append(f"{seconds:.1f} s per step")
        shorts.append(f"{seconds:.1f} s/step")
    if left is not None:
        texts.append(f"{duration(left)} left")
        shorts.append(f"ETA {duration(left)}")
    return Line(label="step", text="   ".join(texts), short="  ".join(shorts))


def describe_step(values: Mapping[str, float]) -> list[Line]:
    """Return what a training step's metrics say; a metric that is missing is left out."""
    return [
        line
        for line in (
            _reward(values),
            _domains(values),
            _speed(values),
            _asynchrony(values),
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
    population variance of the n group means, 1.96 sqrt(V / (n - 1)).
    """
    variance, groups = values.get("analysis/reward_variance_across_groups"), _num_groups(values)
    return None if variance is None else _half_width(variance, groups)


def pooled_reward(steps: Iterable[Mapping[str, float]]) -> tuple[float, float | None] | None:
    """Return the mean reward over some steps, and half of its 95 % interval as if they were one; None without any.

    With n_t groups, mean m_t and variance V_t in step t, and m the mean over all n groups, the variance is
    V = sum n_t (V_t + (m_t - m)^2) / n.
    """
    found = [
        (_num_groups(values), values["rollout/reward/mean"], variance)
        for values in steps
        if (variance := values.get("analysis/reward_variance_across_groups")) is not None
        and "rollout/reward/mean" in values
    ]
    groups = sum(count for count, _, _ in found)
    if not groups:
        return None
    mean = sum(count * value for count, value, _ in found) / groups
    variance = sum(count * (own + (value - mean) ** 2) for count, value, own in found) / groups
    return mean, _half_width(variance, groups)


def _num_groups(values: Mapping[str, float]) -> float:
    # Groups that filling replaced have played too.
    return values.get("training/num_groups", 0.0) + values.get("rollout/fill/groups", 0.0)


def _half_width(variance: float, groups: float) -> float | None:
    return None if groups < 2 else _Z_95 * math.sqrt(variance / (groups - 1))


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
    return describe_speed({name: count / seconds for name, (count, seconds) in work_of(values).items()})


def describe_speed(rates: Mapping[str, float]) -> Line | None:
    """Return tokens per second of generation and training, those that are known."""
    if not rates:
        return None
    return Line(
        label="tokens/s",
        text="   ".join(f"{name} {rate:,.0f}" for name, rate in rates.items()),
        short="tokens/s " + ", ".join(f"{_SHORT[name]} {rate:,.0f}" for name, rate in rates.items()),
    )


def work_of(values: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return tokens and seconds of a step's generation and training, those that are known.

    The engine's seconds are those in which it computed for training episodes, whoever waited for it.
    """
    if "timing_s/generation" in values:
        computing = values["timing_s/generation"] + values.get("busy_s/overlap", 0.0)
    else:
        computing = values.get("timing_s/rollout", 0.0)
    training = values.get("busy_s/training", values.get("timing_s/training", 0.0))
    work = {
        "generation": (values.get("cost/sampled_tokens"), computing),
        "training": (values.get("cost/trained_tokens"), training),
    }
    return {name: (count, seconds) for name, (count, seconds) in work.items() if count is not None and seconds > 0}


def _asynchrony(values: Mapping[str, float]) -> Line | None:
    """Return how old the trained tokens are, how much the learner waits, what is in flight, and what went to waste."""
    parts: list[tuple[str, str]] = []
    if oldest := values.get("training/staleness/max"):
        mean = values.get("training/staleness/mean", 0.0)
        parts.append((f"{mean:.2f}, at most {oldest:.0f} steps", f"stale {mean:.2f} (max {oldest:.0f})"))
    if "timing_s/waiting" in values and values.get("timing_s/training"):
        shares = time_shares(values)
        waits = sum(shares.get(state, 0.0) for state in ROLLOUT)
        parts.append((f"learner waits {waits:.0%}", f"waits {waits:.0%}"))
    if in_flight := values.get("rollout/in_flight"):
        limit = f" of {values['rollout/concurrency']:.0f}" if "rollout/concurrency" in values else ""
        parts.append((f"in flight {in_flight:.0f}{limit}", f"in flight {in_flight:.0f}{limit}"))
    if wasted := values.get("rollout/wasted_frac"):
        parts.append((f"wasted {wasted:.1%}", f"wasted {wasted:.1%}"))
    if not parts:
        return None
    text, short = "   ".join(text for text, _ in parts), ", ".join(short for _, short in parts)
    return Line(label="staleness" if oldest else "rollouts", text=text, short=short)


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
