"""Prediction: how much of one column another one tells, task by task."""

from collections import Counter
from collections.abc import Sequence


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
