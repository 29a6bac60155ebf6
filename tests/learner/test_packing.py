from hypothesis import given
from hypothesis import strategies as st

from models.tiny import tiny_policy
from turnwright.learner.packing import MicroBatch, PassCost, dense_cost, pack, tree_cost
from turnwright.models.tree import order_rows

COST = PassCost(token=10.0, pair=0.1, branch=100.0, once=50.0)
LAYOUTS = st.sampled_from(("auto", "tree", "dense"))


@st.composite
def rows_of_groups(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], list[str]]:
    """Rows that share a system text, and a prompt within each group."""
    system = tuple(draw(st.lists(st.integers(0, 3), max_size=6)))
    rows: list[tuple[int, ...]] = []
    groups: list[str] = []
    for number in range(draw(st.integers(1, 4))):
        prompt = (*system, number, *draw(st.lists(st.integers(0, 3), max_size=6)))
        for _ in range(draw(st.integers(1, 5))):
            rows.append((*prompt, *draw(st.lists(st.integers(0, 3), min_size=1, max_size=15))))
            groups.append(f"task-{number}")
    return draw(st.permutations(rows)), groups


def packed(
    rows: list[tuple[int, ...]], groups: list[str], budget: int, layout: str, cost: PassCost = COST
) -> list[MicroBatch]:
    return pack(order_rows(rows, groups), [len(row) for row in rows], groups, budget=budget, layout=layout, cost=cost)


def computed(batch: MicroBatch, rows: list[tuple[int, ...]]) -> int:
    """Tokens that a micro-batch computes, by definition."""
    members = [rows[index] for index in batch.rows]
    if not batch.tree:
        return sum(map(len, members))
    return len({row[:stop] for row in members for stop in range(1, len(row) + 1)})


@given(rows_of_groups(), st.integers(1, 120), LAYOUTS)
def test_every_row_is_in_one_batch_and_batches_keep_the_budget(material: tuple, budget: int, layout: str):
    rows, groups = material
    batches = packed(rows, groups, budget, layout)
    assert sorted(index for batch in batches for index in batch.rows) == list(range(len(rows)))
    for batch in batches:
        alone = len(batch.rows) == 1 or (batch.tree and len({groups[index] for index in batch.rows}) == 1)
        assert computed(batch, rows) <= budget or alone


@given(rows_of_groups(), st.integers(1, 120))
def test_a_group_stays_in_one_tree(material: tuple, budget: int):
    rows, groups = material
    batches = [batch for batch in packed(rows, groups, budget, "tree") if batch.tree]
    homes = {name: sum(any(groups[i] == name for i in batch.rows) for batch in batches) for name in groups}
    assert max(homes.values(), default=0) <= 1


@given(rows_of_groups(), st.integers(1, 120))
def test_what_is_predicted_is_what_is_computed(material: tuple, budget: int):
    rows, groups = material
    lengths = [len(row) for row in rows]
    tokens_only = PassCost(token=1.0, pair=0.0, branch=0.0, once=0.0)
    for batch in packed(rows, groups, budget, "tree"):
        # A tree sees no more common prefixes than its order puts side by side.
        assert tree_cost(batch, lengths, tokens_only) >= computed(batch, rows)
        assert dense_cost(batch, lengths, tokens_only) == sum(lengths[index] for index in batch.rows)


def test_costs_by_hand():
    batch = MicroBatch(rows=(1, 0), shared=(0, 3), tree=True)
    # Row 1 has 5 tokens and 15 pairs; row 0 adds 1 token that sees 4; one branch.
    assert tree_cost(batch, [4, 5], COST) == 50 + 6 * 10 + (15 + 3 + 1) * 0.1 + 100
    assert dense_cost(batch, [4, 5], COST) == 50 + 9 * 10 + (15 + 10) * 0.1


def test_a_tree_is_declined_where_it_costs_more():
    rows, groups = [(1, 2, 3, 4), (1, 2, 5), (7, 8)], ["a", "a", "b"]
    (batch,) = packed(rows, groups, 99, "auto")
    assert (batch.tree, batch.declined) == (False, True)
    (batch,) = packed(rows, groups, 99, "tree")
    assert (batch.tree, batch.declined) == (True, False)
    long = [(1,) * 40 + (number,) for number in range(3)]
    (batch,) = packed(long, ["a"] * 3, 999, "auto")
    assert batch.tree
    (batch,) = packed([(1, 2), (3, 4)], ["a", "a"], 99, "tree")
    assert (batch.tree, batch.declined) == (False, False)


def test_groups_share_a_pass_while_they_fit():
    rows = [(group,) * 10 + (own,) for group in (1, 2, 3) for own in (7, 8)]
    groups = [name for name in "abc" for _ in range(2)]
    assert [batch.rows for batch in packed(rows, groups, 24, "tree")] == [(0, 1, 2, 3), (4, 5)]
    assert [batch.rows for batch in packed(rows, groups, 23, "tree")] == [(0, 1), (2, 3), (4, 5)]
    assert [batch.rows for batch in packed(rows, groups, 24, "dense")] == [(0, 1), (2, 3), (4, 5)]


def test_a_row_beyond_the_budget_runs_alone():
    batches = packed([(1,) * 50, (2,) * 5], ["a", "a"], 10, "tree")
    assert sorted(batch.rows for batch in batches) == [(0,), (1,)]


def test_the_cost_of_a_model_comes_from_its_shapes():
    cost = PassCost.of(tiny_policy("llama"))
    # Per layer: four projections of 32 x 32, three of 32 x 48, two norms of 32; one norm at the end.
    assert cost.token == 6 * (2 * (4 * 32 * 32 + 3 * 32 * 48 + 2 * 32) + 32)
    assert cost.pair > 14 * 2 * 4 * 8
