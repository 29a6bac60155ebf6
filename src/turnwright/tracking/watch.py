"""What somebody who watches a run sees: a panel of at most 12 lines, or one plain line per step. Reads nothing."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from turnwright.tracking.lines import (
    Line,
    describe_progress,
    describe_speed,
    describe_step,
    describe_validation,
    duration,
    in_one_line,
    panel,
)
from turnwright.tracking.picture import Level, Picture, age
from turnwright.tracking.recent import RECENT_STEPS, Recent, Validation

PLAIN_HISTORY = 10
"""Steps of the past that plain lines begin with."""
BAR_WIDTH = 60
SPARKS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
ASCII_SPARKS = "12345678"
MAX_SPARKS = 30

LIGHTS: Mapping[Level, tuple[str, str]] = {"good": ("ok", "green"), "warning": ("!", "yellow"), "bad": ("!!", "red")}
"""How a light is written, so that its colour is not all that tells, and its colour."""
BLOCKS: Mapping[str, tuple[str, str, str]] = {
    "rollout": ("G", "rollout", "green"),
    "generation": ("G", "generation", "green"),
    "tools": ("o", "tools", "yellow"),
    "waiting": (".", "waiting", "red"),
    "training": ("T", "training", "blue"),
    "weight_update": ("U", "weights", "magenta"),
    "evaluation": ("E", "evaluation", "cyan"),
    "checkpoint": ("S", "saving", "white"),
    "other": ("-", "other", "bright_black"),
}
"""Letter, name and colour of each state in the bar of time."""


class View:
    """Draws pictures of one run: over each other on a terminal, elsewhere a line for everything that is new."""

    def __init__(self, console: Console | None = None) -> None:
        """Nothing is drawn yet."""
        self._console = console or Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._news = News()

    def draw(self, picture: Picture) -> None:
        """Show a picture."""
        if self._live is None:
            for line in self._news.since_last(picture):
                self._console.print(line, soft_wrap=True, markup=False)
            return
        if not self._live.is_started:
            self._live.start()
        lines = describe_picture(picture, ascii_only=self._console.options.ascii_only)
        self._live.update(panel(lines, title=picture.name), refresh=True)

    def draw_once(self, picture: Picture) -> None:
        """Show a picture that no other follows: whole, also without a terminal."""
        if self._live is not None:
            self.draw(picture)
            return
        for line in describe_picture(picture, ascii_only=self._console.options.ascii_only):
            self._console.print(f"{line.label:<10}  {line.text}".rstrip(), soft_wrap=True, markup=False)

    def __enter__(self) -> Self:
        """Return the view itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the last picture on the screen."""
        if self._live is not None and self._live.is_started:
            self._live.stop()


class News:
    """What a picture says that the one before did not, in plain lines."""

    def __init__(self) -> None:
        """Everything is new."""
        self._times: dict[float, float] | None = None
        self._launch = 1
        self._told: set[tuple[str, str]] = set()

    def since_last(self, picture: Picture) -> Iterator[str]:
        """Yield a line per step, and one whenever the run was resumed or something begins to be wrong."""
        if self._times is None:
            self._times = {line["step"]: line["time"] for line in picture.metrics[:-PLAIN_HISTORY]}
            self._launch = picture.launch
            yield f"{picture.name}: {picture.state}, {_progress(picture).short}"
        if picture.launch != self._launch:
            self._launch = picture.launch
            yield f"resumed by process {picture.launch}, reported up to step {picture.recent.step}"
        for values in picture.metrics:
            # A step that a resumed run makes again has another time.
            if self._times.get(values["step"]) != values["time"]:
                self._times[values["step"]] = values["time"]
                yield describe_record(picture, values)
        wrong = [light for light in picture.lights if light.level != "good"]
        # How long a silence lasts is no news.
        told = {(light.about, "" if light.about == "silence" else light.text) for light in wrong}
        for light in wrong:
            if (light.about, "" if light.about == "silence" else light.text) not in self._told:
                yield f"step {picture.step}: {light.text}"
        self._told = told


def describe_record(picture: Picture, values: Mapping[str, float]) -> str:
    """Return one reported step in one line."""
    step = int(values["step"])
    validation = describe_validation(step, values)
    left = picture.seconds_left if step == picture.recent.step else None
    progress = describe_progress(step, picture.num_steps or step, values.get("timing_s/step"), left)
    shown = [progress, *describe_step(values)]
    return in_one_line([*shown, validation] if validation else shown)


def describe_picture(picture: Picture, *, ascii_only: bool = False) -> list[Line]:
    """Return a picture as at most 10 lines; what is not known is left out."""
    recent = picture.recent
    found = [
        _progress(picture),
        _reward(recent),
        _validations(recent, ascii_only=ascii_only),
        describe_speed(recent.tokens_per_second),
        _staleness(picture),
        *_time(recent),
        _in_flight(picture),
        _health(picture),
        _life(picture),
    ]
    return [line for line in found if line is not None]


def closing_words(picture: Picture) -> tuple[str, ...]:
    """Return how a run ended and what to do next."""
    where = shlex.quote(str(picture.path))
    at = f"at step {picture.step}"
    if picture.state == "finished":
        return (f"finished {at}", "next:", f"  turnwright report {where}")
    if picture.state == "interrupted":
        reason = f": no process writes the run, the last sign of life is {age(picture.silent_seconds)} old"
    else:
        reason = f": {picture.message}" if picture.message else ""
    log = shlex.quote(str(picture.path / "logs" / "latest" / "run.log"))
    return (f"{picture.state} {at}{reason}", f"log: {log}", f"to continue: turnwright train --resume {where}")


def sparkline(values: Sequence[float], *, ascii_only: bool = False) -> str:
    """Return values as a row of bars between their least and their greatest; equal ones are all low.

    >>> sparkline([0.0, 0.5, 1.0], ascii_only=True)
    '158'
    """
    glyphs = ASCII_SPARKS if ascii_only else SPARKS
    low, high = min(values), max(values)
    scale = (len(glyphs) - 1) / (high - low) if high > low else 0.0
    return "".join(glyphs[int((value - low) * scale + 0.5)] for value in values)


def cells(shares: Mapping[str, float], width: int) -> dict[str, int]:
    """Return how many of ``width`` cells each share has: its whole ones, the rest by the largest remainders.

    >>> cells({"a": 0.5, "b": 0.3, "c": 0.2}, 4)
    {'a': 2, 'b': 1, 'c': 1}
    """
    whole = sum(shares.values())
    exact = {name: share * width / whole for name, share in shares.items()}
    given = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda name: given[name] - exact[name])[: width - sum(given.values())]:
        given[name] += 1
    return given


def _progress(picture: Picture) -> Line:
    steps = str(picture.step)
    if picture.num_steps is not None:
        steps += f"/{picture.num_steps}" if picture.is_last_step_known else f" of at most {picture.num_steps}"
    parts = [f"{picture.state}, step {steps}"]
    if picture.recent.seconds_per_step is not None:
        parts.append(f"{picture.recent.seconds_per_step:.1f} s per step")
    if picture.seconds_left is not None:
        parts.append(f"{duration(picture.seconds_left)} left")
    return Line(label="run", text="   ".join(parts), short=f"step {steps}")


def _reward(recent: Recent) -> Line | None:
    if recent.reward is None:
        return None
    half = "" if recent.reward_half_width is None else f" +- {recent.reward_half_width:.3f} (95 %)"
    count = min(RECENT_STEPS, recent.step)
    over = f"over {count} steps" if count > 1 else "in 1 step"
    return Line(label="reward", text=f"{recent.reward:.3f}{half}   {over}")


def _validations(recent: Recent, *, ascii_only: bool) -> Line | None:
    found = list(recent.validations)
    if not found:
        return None
    shown = sparkline([one.value for one in found[-MAX_SPARKS:]], ascii_only=ascii_only)
    best = max(found, key=lambda one: (one.value, -one.step))
    what = "solved" if recent.judge == "val/score/success" else "reward"

    def at(one: Validation) -> str:
        return f"{one.value:.3f} (step {one.step})"

    text = f"{what} {at(found[0])} {shown} {at(found[-1])}" if len(found) > 1 else f"{what} {at(found[0])}"
    return Line(label="validation", text=text if best in (found[0], found[-1]) else f"{text}   best {at(best)}")


def _staleness(picture: Picture) -> Line | None:
    recent, parts = picture.recent, []
    if recent.staleness_max is not None and (recent.staleness_max or picture.staleness_bound):
        bound = "" if picture.staleness_bound is None else f", bound {picture.staleness_bound}"
        parts.append(f"mean {recent.staleness_mean or 0.0:.2f}, max {recent.staleness_max:.0f}{bound}")
    if recent.wasted_fraction is not None and (recent.wasted_fraction or picture.staleness_bound):
        parts.append(f"wasted {recent.wasted_fraction:.1%}")
    return Line(label="staleness", text="   ".join(parts)) if parts else None


def _time(recent: Recent) -> tuple[Line, ...]:
    """Return a stacked bar of the last steps' wall time, and what its letters stand for."""
    if not recent.time_shares:
        return ()
    bar, legend = Text(), Text()
    for state, count in cells(recent.time_shares, BAR_WIDTH).items():
        letter, _, colour = BLOCKS[state]
        bar.append(letter * count, style=f"reverse {colour}")
    for state, share in sorted(recent.time_shares.items(), key=lambda item: -item[1]):
        if share >= 0.005:
            letter, name, colour = BLOCKS[state]
            legend.append(letter, style=colour).append(f" {name} {share:.0%}  ")
    if recent.overlap is not None:
        legend.append(f"overlap {recent.overlap:.0%}")
    return Line(label="time", text=bar), Line(label="", text=legend)


def _in_flight(picture: Picture) -> Line | None:
    recent, parts = picture.recent, []
    if recent.in_flight is not None:
        limit = "" if recent.concurrency is None else f" of {recent.concurrency:.0f}"
        parts.append(f"{recent.in_flight:.0f}{limit} episodes")
    if picture.open_groups:
        of = "" if picture.wanted_attempts is None else f" of {picture.wanted_attempts}"
        parts.append(f"{picture.open_groups} open groups, {picture.ended_attempts}{of} attempts ended")
    if recent.ready_groups is not None:
        parts.append(f"{recent.ready_groups:.0f} ready")
    return Line(label="in flight", text="   ".join(parts)) if parts else None


def _health(picture: Picture) -> Line | None:
    text = Text()
    for light in picture.lights:
        sign, colour = LIGHTS[light.level]
        text.append(sign, style=colour).append(f" {light.text}   ")
    return Line(label="health", text=text) if text else None


def _life(picture: Picture) -> Line:
    process = f"   process {picture.launch} of this run" if picture.launch > 1 else ""
    return Line(label="last sign", text=f"{age(picture.silent_seconds)} ago{process}")
