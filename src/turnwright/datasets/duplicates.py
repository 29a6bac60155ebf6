"""Duplicates within a part and contamination between parts: exact, normalised and near.

Parts are splits or files. A row is named once: with one that comes before it, in another part if there is one. The
similarity of near-duplicates is computed exactly; MinHash only picks the pairs worth computing.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnwright.core.finding import Finding
from turnwright.core.task import Split, Task
from turnwright.datasets.minhash import Signature, bands, jaccard, shingles, signature
from turnwright.datasets.rows import quote
from turnwright.datasets.text import normalise, words

NEAR = 0.8
"""Jaccard similarity of word shingles from which two prompts are near-duplicates."""


def find_duplicates(parts: Mapping[Split, Sequence[Task]] | Mapping[str, Sequence[Task]]) -> tuple[Finding, ...]:
    """Find prompts that occur again.

    Args:
        parts: Tasks by the name of their split or file.

    Returns:
        A warning ``duplicate.exact``, ``duplicate.normalised`` or ``duplicate.near`` where both rows are in one part;
        an error ``contamination.`` with the same three where they are in two.
    """
    same: dict[str, dict[tuple[str, str], _Row]] = defaultdict(dict)
    near = _NearIndex()
    findings: list[Finding] = []
    for part, tasks in parts.items():
        for task in tasks:
            row = _row(part, task)
            earlier = same[row.normalised]
            match = _closest(row, list(earlier.values()), near)
            if match:
                findings.append(_finding(row, *match))
            # Repetitions are not kept: whatever they match, the first of them matches too.
            if all(other.part != part for other in earlier.values()):
                near.add(row)
            earlier.setdefault((part, task.prompt), row)
    return tuple(findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    part: str
    task: Task
    normalised: str
    shingles: frozenset[str]
    bands: tuple[tuple[int, Signature], ...]


def _row(part: str, task: Task) -> _Row:
    text = shingles(words(task.prompt) or (task.prompt,))
    return _Row(
        part=part,
        task=task,
        normalised=normalise(task.prompt),
        shingles=text,
        bands=tuple(bands(signature(text))),
    )


class _NearIndex:
    """Rows by the bands of their signature, then by part."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[int, Signature], dict[str, list[_Row]]] = {}

    def add(self, row: _Row) -> None:
        for band in row.bands:
            self._buckets.setdefault(band, {}).setdefault(row.part, []).append(row)

    def match(self, row: _Row, *, elsewhere: bool) -> _Row | None:
        """Return an earlier near-duplicate, in another part or in the row's own."""
        compared: set[int] = set()
        for band in row.bands:
            for part, others in self._buckets.get(band, {}).items():
                if (part != row.part) != elsewhere:
                    continue
                for other in others:
                    if id(other) not in compared and jaccard(row.shingles, other.shingles) >= NEAR:
                        return other
                    compared.add(id(other))
        return None


def _closest(row: _Row, same: list[_Row], near: _NearIndex) -> tuple[str, _Row] | None:
    """Return the kind of match and the earlier row: another part goes before the own, equality before nearness."""
    equal = min(same, key=lambda other: (other.part == row.part, other.task.prompt != row.task.prompt), default=None)
    if equal is None or equal.part == row.part:
        close = near.match(row, elsewhere=True) or (None if equal else near.match(row, elsewhere=False))
        if close:
            return "near", close
    if equal is None:
        return None
    return "exact" if equal.task.prompt == row.task.prompt else "normalised", equal


def _finding(row: _Row, kind: str, other: _Row) -> Finding:
    crossing = row.part != other.part
    said = {
        "exact": "has the prompt of",
        "normalised": "has, but for case, spacing and punctuation, the prompt of",
        "near": f"shares {jaccard(row.shingles, other.shingles):.0%} of its three-word shingles with",
    }
    return Finding(
        code=f"{'contamination' if crossing else 'duplicate'}.{kind}",
        severity="error" if crossing else "warning",
        where=f"{row.part}, {row.task.id!r}",
        evidence=f"{said[kind]} {other.part}, {other.task.id!r}: {quote(row.task.prompt)}",
        cure="remove one of the rows, or give both one cluster and split again"
        if crossing
        else "remove one of the rows unless the repetition is meant",
    )
