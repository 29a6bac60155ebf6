"""Prefix trees: rows in; each distinct token behind the same prefix once, and who sees whom, out.

Rows are put in an order in which equal prefixes are neighbours; then a row adds only what it does not have in common
with the row before it, its *run*:

    rows    a b c d      laid out   a b c d   x y   z      runs       [0,4) [4,6) [6,7)
            a b x y                 0 1 2 3   4 5   6      branches   [4,6) sees [0,2); [6,7) sees [0,1)
            a z                                            ends       7 6 4 4   6 6   7

That is the depth-first order of the radix tree: what stands below a token is one interval. So a token sees its own run
up to itself, and the branches its run hangs from; a tree of R rows has at most R runs and R - 1 branches.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

LAST = b"\xff" * 4
"""Ends the key of a row: a row comes before its own prefixes, which then add nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOrder:
    """Rows in an order in which equal prefixes are neighbours.

    Example: of the rows (1, 2, 3), (9,), (1, 2, 4) the order is ``rows=(0, 2, 1), shared=(0, 2, 0)``.
    """

    rows: tuple[int, ...]
    """Numbers of the rows."""
    shared: tuple[int, ...]
    """Leading tokens that each row has in common with the one before it; 0 for the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Tokens [start, stop) all see the tokens [key_start, key_stop), which are part of the path they hang from."""

    start: int
    stop: int
    key_start: int
    key_stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Rows laid out as N distinct tokens; the module's docstring has an example."""

    token_ids: Tensor
    """[N]"""
    depths: Tensor
    """[N] position that each token has in its rows."""
    ends: Tensor
    """[N] end of the interval that stands below each token: token j sees token i where i <= j < ends[i]."""
    runs: tuple[tuple[int, int], ...]
    """Start and stop of each run; together they cover the layout."""
    branches: tuple[Branch, ...]
    places: tuple[Tensor, ...]
    """Per row, [t]: where each of its tokens is laid out."""

    @property
    def num_tokens(self) -> int:
        """Number of distinct tokens, N."""
        return len(self.token_ids)


def order_rows(rows: Sequence[Sequence[int]], groups: Sequence[Hashable]) -> RowOrder:
    """Order rows so that equal prefixes are neighbours, and so are the rows of a group."""
    ids = [np.asarray(row, dtype=">u4") for row in rows]
    keys = [row.tobytes() + LAST for row in ids]
    first: dict[Hashable, bytes] = {}
    for group, key in zip(groups, keys, strict=True):
        first[group] = min(key, first.get(group, key))
    names = {group: number for number, group in enumerate(first)}
    order = sorted(range(len(rows)), key=lambda i: (first[groups[i]], names[groups[i]], keys[i], i))
    shared = [0, *(common_length(ids[a], ids[b]) for a, b in pairwise(order))]
    return RowOrder(rows=tuple(order), shared=tuple(shared[: len(order)]))


def common_length(one: np.ndarray, other: np.ndarray) -> int:
    """Return how many leading ids two rows have in common."""
    length = min(len(one), len(other))
    differs = one[:length] != other[:length]
    return int(differs.argmax()) if differs.any() else length


def build_tree(rows: Sequence[Tensor], shared: Sequence[int], *, behind: int = 0) -> Tree:
    """Lay out rows.

    Args:
        rows: Token ids [t] of each row, in an order in which equal prefixes are neighbours.
        shared: Leading tokens that each row shares with the one before it; the first entry does not count. Fewer
            than there are is allowed: zeros lay out each row on its own.
        behind: Leading tokens, the same in all rows, that are left out because an earlier pass has them.
    """
    common = [behind, *(max(behind, count) for count in shared[1:])]
    sizes = [len(row) - count for row, count in zip(rows, common, strict=True)]
    total = sum(sizes)
    ends = torch.full((total,), total)
    places: list[Tensor] = []
    path = _Path()
    offset = 0
    for count, size in zip(common, sizes, strict=True):
        fresh = torch.arange(offset, offset + size)
        if places:
            before = places[-1]
            ends[before[count - behind :]] = offset
            fresh = torch.cat([before[: count - behind], fresh])
        places.append(fresh)
        path.leave(count, offset)
        path.enter(count, offset, size)
        offset += size
    path.leave(behind, total)
    return Tree(
        token_ids=torch.cat([row[count:] for row, count in zip(rows, common, strict=True)]),
        depths=torch.cat([torch.arange(count, len(row)) for row, count in zip(rows, common, strict=True)]),
        ends=ends,
        runs=tuple(path.runs),
        branches=tuple(path.branches),
        places=tuple(places),
    )


@dataclass(slots=True, kw_only=True)
class _Piece:
    """A part of the path to the row that is laid out now, taken from one run."""

    depth: int
    start: int
    stop: int
    seen_from: int
    """First token laid out that sees exactly this much of the run."""


class _Path:
    """The path to the row that is laid out now; writes a branch whenever a piece of it changes."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []
        self.branches: list[Branch] = []
        self._pieces: list[_Piece] = []

    def leave(self, depth: int, offset: int) -> None:
        """Shorten the path to ``depth``: what is laid out from ``offset`` on sees no more of it."""
        while self._pieces and self._pieces[-1].depth >= depth:
            self._write(self._pieces.pop(), offset)
        if self._pieces:
            top = self._pieces[-1]
            stop = top.start + depth - top.depth
            if stop < top.stop:
                self._write(top, offset)
                top.stop, top.seen_from = stop, offset

    def enter(self, depth: int, offset: int, size: int) -> None:
        """Go on with a run of ``size`` tokens."""
        if size:
            self.runs.append((offset, offset + size))
            self._pieces.append(_Piece(depth=depth, start=offset, stop=offset + size, seen_from=offset + size))

    def _write(self, piece: _Piece, offset: int) -> None:
        if piece.seen_from < offset:
            self.branches.append(Branch(start=piece.seen_from, stop=offset, key_start=piece.start, key_stop=piece.stop))
