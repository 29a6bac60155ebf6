from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwright.models.tree import Branch, RowOrder, Tree, build_tree, order_rows

ROWS = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=8).map(tuple), min_size=1, max_size=6)


def tree_of(rows: list[tuple[int, ...]], *, behind: int = 0) -> tuple[Tree, list[torch.Tensor]]:
    order = order_rows(rows, ["a group"] * len(rows))
    ordered = [torch.tensor(rows[index]) for index in order.rows]
    return build_tree(ordered, order.shared, behind=behind), ordered


def seen(tree: Tree, rows: list[torch.Tensor]) -> torch.Tensor:
    """Which token sees which: by the definition, the prefixes of each row."""
    found = torch.zeros(tree.num_tokens, tree.num_tokens, dtype=torch.int)
    for place in tree.places:
        for position in range(len(place)):
            found[place[position], place[: position + 1]] = 1
    return found


def test_three_rows_by_hand():
    tree, _ = tree_of([(1, 2, 3, 4), (1, 2, 7, 8), (1, 9)])
    assert tree.token_ids.tolist() == [1, 2, 3, 4, 7, 8, 9]
    assert tree.depths.tolist() == [0, 1, 2, 3, 2, 3, 1]
    assert tree.ends.tolist() == [7, 6, 4, 4, 6, 6, 7]
    assert tree.runs == ((0, 4), (4, 6), (6, 7))
    assert tree.branches == (
        Branch(start=4, stop=6, key_start=0, key_stop=2),
        Branch(start=6, stop=7, key_start=0, key_stop=1),
    )
    assert [place.tolist() for place in tree.places] == [[0, 1, 2, 3], [0, 1, 4, 5], [0, 6]]


@given(ROWS, st.integers(0, 3))
def test_each_prefix_is_laid_out_once_and_every_pair_is_seen_once(own: list[tuple[int, ...]], behind: int):
    rows = [(1, 0, 1)[:behind] + row for row in own]
    tree, ordered = tree_of(rows, behind=behind)
    assert tree.num_tokens == len({row[:stop] for row in rows for stop in range(behind + 1, len(row) + 1)})
    for row, place in zip(ordered, tree.places, strict=True):
        assert torch.equal(tree.token_ids[place], row[behind:])
        assert torch.equal(tree.depths[place], torch.arange(behind, len(row)))
    pairs = torch.zeros(tree.num_tokens, tree.num_tokens, dtype=torch.int)
    for start, stop in tree.runs:
        pairs[start:stop, start:stop] += torch.ones(stop - start, stop - start, dtype=torch.int).tril()
    for branch in tree.branches:
        pairs[branch.start : branch.stop, branch.key_start : branch.key_stop] += 1
    expected = seen(tree, ordered)
    assert torch.equal(pairs, expected)
    number = torch.arange(tree.num_tokens)
    inside = (number <= number[:, None]) & (number[:, None] < tree.ends)
    assert torch.equal(inside.int(), expected)
    assert len(tree.runs) <= len(rows)
    assert len(tree.branches) <= len(rows) - 1


@given(ROWS)
def test_rows_that_share_nothing_stand_side_by_side(rows: list[tuple[int, ...]]):
    tree = build_tree([torch.tensor(row) for row in rows], [0] * len(rows))
    assert tree.token_ids.tolist() == [token for row in rows for token in row]
    assert tree.branches == ()
    assert [stop - start for start, stop in tree.runs] == [len(row) for row in rows]


@given(ROWS, st.lists(st.sampled_from("ab"), min_size=6, max_size=6))
def test_rows_of_a_group_are_neighbours_and_so_are_equal_prefixes(rows: list[tuple[int, ...]], names: list[str]):
    groups = names[: len(rows)]
    order = order_rows(rows, groups)
    assert sorted(order.rows) == list(range(len(rows)))
    in_order = [groups[index] for index in order.rows]
    assert sum(one != other for one, other in pairwise(in_order)) == len(set(groups)) - 1
    for one, other, shared in zip(order.rows, order.rows[1:], order.shared[1:], strict=False):
        assert rows[one][:shared] == rows[other][:shared]
        assert rows[one][: shared + 1] != rows[other][: shared + 1] or shared == len(rows[one]) == len(rows[other])


def test_a_row_comes_before_its_own_prefix_and_ids_beyond_a_byte_keep_their_order():
    rows = [(1,), (1, 300), (1, 2), (1, 300, 7)]
    assert order_rows(rows, [0] * 4) == RowOrder(rows=(2, 3, 1, 0), shared=(0, 1, 2, 1))
