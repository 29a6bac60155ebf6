"""Leaks in the prompt: a field that is the answer, hides it in a coding, or predicts it as well as all the work does.

What a task hides in ``data`` is no leak; only what the agent reads before its first turn is looked at.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from turnwright.audit.codings import coding_of
from turnwright.audit.derived import derived_columns, interval_share, position_share
from turnwright.audit.prediction import predicted_share
from turnwright.audit.prompt_fields import Columns, gold_columns, shown_columns, whole_prompts
from turnwright.audit.session import calls_of
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding, Severity
from turnwright.environments.base import Environment

FEWEST_TASKS = 10
"""With fewer tasks, chance predicts as well as a leak."""
NEARLY_ALWAYS = 0.95
"""Share of the tasks that a leak gives away, of those that can be solved at all."""
LEAST_GAIN = 0.2
"""Share of tasks by which a predictor must beat naming the most frequent value."""

SHORT_TEXT = 8
"""Words of a field that says one thing; longer ones may be what the answer is to be found in."""
LONG_LABEL = 3
"""Letters of a label that is in no text by chance."""
FEWEST_FOR_PARTS = 20
"""With fewer tasks, some part of some field predicts by chance."""
MEANT_TO_SOLVE = 0.5
"""Share below which the solutions are broken and say nothing about the labels."""


def check_prompt_leaks(prototype: Environment, episodes: Sequence[Episode], *, solved: float) -> tuple[Finding, ...]:
    """Look for the ground truth in what the tasks show.

    Args:
        prototype: The environment. Without tools and without a world that answers, a prompt must tell everything.
        episodes: One per task; their openings are what was shown.
        solved: Share of the tasks that the solutions solve: where labels are noisy, no leak predicts more.
    """
    solvable = solved if solved >= MEANT_TO_SOLVE else 1.0
    if len(episodes) < FEWEST_TASKS or not _world_tells(prototype, episodes):
        return ()
    found = _leaks_among(episodes, solvable)
    for split in ("train", "validation", "test"):
        some = [episode for episode in episodes if episode.task.split == split]
        if not found and FEWEST_FOR_PARTS <= len(some) < len(episodes):
            # Each split may be sorted and numbered by itself.
            found = _leaks_among(some, solvable)
    return found


def _leaks_among(episodes: Sequence[Episode], solvable: float) -> tuple[Finding, ...]:
    gold = gold_columns([episode.task for episode in episodes])
    shown = shown_columns(episodes)
    if len(episodes) >= FEWEST_FOR_PARTS:
        shown = {**shown, **derived_columns(shown)}
    whole = whole_prompts(episodes)
    leaks = [(name, *leak) for name in gold for leak in _leaks_of(gold[name], shown, whole, solvable)]
    given_away = {name for name, *_ in leaks}
    return tuple(
        Finding(
            code=code,
            severity=_severity(code, gold[name], given_away == set(gold)),
            where=where,
            evidence=f"{evidence} of gold field {name!r}",
            cure="take it out of the prompt, or let a tool tell it to those who ask for the right record",
        )
        for name, code, where, evidence in leaks
    )


def _severity(code: str, labels: Sequence[str | None], all_given_away: bool) -> Severity:
    if all_given_away:
        return "error"
    # A field that is another one on every task, such as the id of the case, may be meant to be repeated.
    return "info" if code == "leak.answer" and len(set(labels)) == len(labels) else "warning"


def _world_tells(prototype: Environment, episodes: Sequence[Episode]) -> bool:
    """Return whether the world has something to say about a task that its prompt does not.

    Where tools answer alike on every task, such as with the text of a rule, the prompt has to tell the facts.
    """
    if type(prototype).respond is not Environment.respond:
        return True
    answers = {tuple(call.text for call in calls_of(episode)) for episode in episodes}
    return bool(prototype.tools()) and (len(answers) > 1 or answers == {()})


def _leaks_of(
    labels: Sequence[str | None], shown: Columns, whole: Sequence[str | None], solvable: float
) -> Iterator[tuple[str, str, str]]:
    majority = Counter(labels).most_common(1)[0][1] / len(labels)
    least = max(NEARLY_ALWAYS * solvable, majority + LEAST_GAIN)
    before = 0
    for where, values in shown.items():
        pairs = [pair for pair in zip(values, labels, strict=True) if None not in pair]
        codings = Counter(coding for value, label in pairs if (coding := coding_of(value, label)))
        if sum(codings.values()) >= NEARLY_ALWAYS * len(labels):
            coding = codings.most_common(1)[0][0]
            code = "leak.answer" if coding == "a copy" else "leak.proxy"
            yield code, where, f"on {sum(codings.values())} of {len(labels)} tasks it is {coding}"
            continue
        placed = position_share(values, labels)
        if placed >= least:
            yield "leak.answer", where, f"on {placed:.1%} of {len(labels)} tasks it lists the right value in one place"
            continue
        predicted = max(predicted_share(values, labels), interval_share(values, labels))
        if predicted >= least:
            yield (
                "leak.proxy",
                where,
                f"by itself it predicts {predicted:.1%} of {len(labels)} tasks, where the rules solve {solvable:.1%} "
                f"and the most frequent value is {majority:.1%},",
            )
            continue
        named = max(named_share(values, labels), contained_share(values, labels))
        if named >= least:
            yield "leak.answer", where, f"on {named:.1%} of {len(labels)} tasks its text names the one right value"
            before += 1
    named = named_share(whole, labels)
    if named >= least and not before:
        yield "leak.answer", "prompt", f"on {named:.1%} of {len(labels)} tasks its text names the one right value"


def named_share(values: Sequence[str | None], labels: Sequence[str | None]) -> float:
    """Return the share of tasks in which the text names the right label and no other."""
    vocabulary = {label.casefold() for label in labels if label}
    if len(vocabulary) > len(labels) / 2:
        return 0.0
    named = 0
    for value, label in zip(values, labels, strict=True):
        words = f" {''.join(c if c.isalnum() else ' ' for c in (value or '').casefold())} "
        there = {entry for entry in vocabulary if f" {''.join(c if c.isalnum() else ' ' for c in entry)} " in words}
        named += there == {(label or "").casefold()}
    return named / len(labels)


def contained_share(values: Sequence[str | None], labels: Sequence[str | None]) -> float:
    """Return the share of tasks in which a field that says one thing contains the label."""
    short = [
        value if value and len(value.split()) <= SHORT_TEXT and not set(value) & set(",;|") else None
        for value in values
    ]
    return contained_words(short, labels)


def contained_words(values: Sequence[str | None], labels: Sequence[str | None]) -> float:
    """Return the share of tasks in which a text has the label as a word, where labels differ from task to task."""
    if len(set(labels)) <= len(labels) / 2:
        return 0.0
    told = sum(
        bool(label and len(label) >= LONG_LABEL and re.search(rf"(?<!\w){re.escape(label)}(?!\w)", value or "", re.I))
        for value, label in zip(values, labels, strict=True)
    )
    return told / len(labels)
