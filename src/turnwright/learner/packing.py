"""Packing: which rows share a pass. Rows in; lists of row indices out, each within the token budget.

A pass computes the prefix its rows have in common once, then the rows right-padded to the longest of them. Two
layouts are weighed by the tokens they compute and the cheaper is taken: rows of equal length together (little
padding, but only what *all* tasks share is shared), or rows of one group together (the whole prompt is shared).
"""

from collections.abc import Hashable, Sequence

from turnwright.models.forward import common_prefix_length

PASS_OVERHEAD_TOKENS = 256
"""What starting one more pass costs, in tokens: keeps tiny groups from running alone."""


def pack(
    rows: Sequence[Sequence[int]], first_trained: Sequence[int], groups: Sequence[Hashable], *, budget: int
) -> list[list[int]]:
    """Return micro-batches of row indices, each row exactly once.

    Args:
        rows: Token ids per row.
        first_trained: Position of each row's first trained token; a prefix never reaches beyond it.
        groups: Name of the group of each row.
        budget: Most padded tokens of a pass, its prefix counted once; a single longer row still runs, alone.
    """
    by_length = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
    by_group = sorted(range(len(rows)), key=lambda i: (str(groups[i]), len(rows[i]), i))
    layouts = [
        _cut(by_length, rows, first_trained, budget, [0] * len(rows)),
        _cut(by_group, rows, first_trained, budget, groups),
    ]
    return min(layouts, key=lambda layout: sum(_cost(batch, rows, first_trained) for batch in layout))


def _cut(
    order: Sequence[int],
    rows: Sequence[Sequence[int]],
    first_trained: Sequence[int],
    budget: int,
    groups: Sequence[Hashable],
) -> list[list[int]]:
    """Cut an order into batches: a new one starts with a new group, or when the budget is full."""
    batches: list[list[int]] = []
    for index in order:
        if batches:
            grown = [*batches[-1], index]
            same_group = groups[batches[-1][0]] == groups[index]
            if same_group and _cost(grown, rows, first_trained) - PASS_OVERHEAD_TOKENS <= budget:
                batches[-1] = grown
                continue
        batches.append([index])
    return batches


def _cost(batch: Sequence[int], rows: Sequence[Sequence[int]], first_trained: Sequence[int]) -> int:
    """Return the tokens one pass computes, its overhead included."""
    chosen = [rows[index] for index in batch]
    prefix = shared_length(chosen, [first_trained[index] for index in batch])
    return PASS_OVERHEAD_TOKENS + prefix + len(batch) * (max(map(len, chosen)) - prefix)


def shared_length(rows: Sequence[Sequence[int]], first_trained: Sequence[int]) -> int:
    """Return the length of the prefix a pass over these rows computes once; a single row has none to share."""
    return common_prefix_length(rows, limit=min(first_trained)) if len(rows) > 1 else 0
