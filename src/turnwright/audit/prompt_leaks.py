"""Leaks in the prompt: a field that is the answer, hides it in a coding, or predicts it as well as all the work does.

What a task hides in ``data`` is no leak; only what the agent reads before its first turn is looked at.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from turnwright.audit.codings import coding_of
from turnwright.audit.prompt_fields import Columns, gold_columns, shown_columns
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.environments.base import Environment

FEWEST_TASKS = 10
"""With fewer tasks, chance predicts as well as a leak."""
NEARLY_ALWAYS = 0.95
"""Share of the tasks that a leak gives away, of those that can be solved at all."""
LEAST_GAIN = 0.2
"""Share of tasks by which a predictor must beat naming the most frequent value."""

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
    answers = type(prototype).respond is not Environment.respond
    if len(episodes) < FEWEST_TASKS or not (prototype.tools() or answers):
        return ()
    gold = gold_columns([episode.task for episode in episodes])
    shown = shown_columns(episodes)
    leaks = [(name, *leak) for name in gold for leak in _leaks_of(gold[name], shown, solvable)]
    given_away = {name for name, *_ in leaks}
    return tuple(
        Finding(
            code=code,
            # A field among several may be meant to be repeated, such as the id of the case.
            severity="error" if given_away == set(gold) else "warning",
            where=where,
            evidence=f"{evidence} of gold field {name!r}",
            cure="take it out of the prompt, or let a tool tell it to those who ask for the right record",
        )
        for name, code, where, evidence in leaks
    )


def predicted_share(values: Sequence[str | None], labels: Sequence[str | None]) -> float:
    """Return the share of tasks whose label the *other* tasks with the same value predict by majority.

    A value that occurs once predicts nothing, so that ids are no predictors.
    """
    counts = Counter(zip(values, labels, strict=True))
    by_value: dict[str | None, Counter[str | None]] = {}
    for (value, label), count in counts.items():
        by_value.setdefault(value, Counter())[label] = count
    right = 0
    for (value, label), count in counts.items():
        others = by_value[value] - Counter({label: 1})
        best = max(others.values(), default=0)
        right += count * (others[label] == best > 0)
    return right / len(labels)


def _leaks_of(labels: Sequence[str | None], shown: Columns, solvable: float) -> Iterator[tuple[str, str, str]]:
    majority = Counter(labels).most_common(1)[0][1] / len(labels)
    for where, values in shown.items():
        pairs = [pair for pair in zip(values, labels, strict=True) if None not in pair]
        codings = Counter(coding for value, label in pairs if (coding := coding_of(value, label)))
        if sum(codings.values()) >= NEARLY_ALWAYS * len(labels):
            coding = codings.most_common(1)[0][0]
            code = "leak.answer" if coding == "a copy" else "leak.proxy"
            yield code, where, f"on {sum(codings.values())} of {len(labels)} tasks it is {coding}"
            continue
        predicted = predicted_share(values, labels)
        if predicted >= NEARLY_ALWAYS * solvable and predicted >= majority + LEAST_GAIN:
            yield (
                "leak.proxy",
                where,
                f"by itself it predicts {predicted:.1%} of {len(labels)} tasks, where the rules solve {solvable:.1%} "
                f"and the most frequent value is {majority:.1%},",
            )
            continue
        named = _named_share(values, labels)
        if named >= NEARLY_ALWAYS * solvable and named >= majority + LEAST_GAIN:
            yield "leak.answer", where, f"on {named:.1%} of {len(labels)} tasks its text names the one right value"


def _named_share(values: Sequence[str | None], labels: Sequence[str | None]) -> float:
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
