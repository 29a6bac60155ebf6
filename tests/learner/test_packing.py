from hypothesis import given
from hypothesis import strategies as st

from turnwright.learner.packing import pack, shared_length


@st.composite
def rows_of_groups(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], list[int], list[str]]:
    """Rows that share a system text, and a prompt within each group, and where each is trained first."""
    system = tuple(draw(st.lists(st.integers(0, 3), max_size=6)))
    rows: list[tuple[int, ...]] = []
    first: list[int] = []
    groups: list[str] = []
    for number in range(draw(st.integers(1, 4))):
        prompt = (*system, number, *draw(st.lists(st.integers(0, 3), max_size=6)))
        for _ in range(draw(st.integers(1, 5))):
            rows.append((*prompt, *draw(st.lists(st.integers(0, 3), min_size=1, max_size=15))))
            first.append(len(prompt))
            groups.append(f"task-{number}")
    return rows, first, groups


def computed(batch: list[int], rows: list[tuple[int, ...]], first: list[int]) -> int:
    """Tokens one pass computes: the common prefix once, then right-padded rows."""
    chosen = [rows[i] for i in batch]
    shared = 0
    if len(batch) > 1:
        limit = min(first[i] for i in batch)
        while shared < limit and len({row[: shared + 1] for row in chosen}) == 1:
            shared += 1
    return shared + len(batch) * (max(map(len, chosen)) - shared)


@given(rows_of_groups(), st.integers(1, 120))
def test_every_row_is_in_one_pass_and_passes_keep_the_budget(material: tuple, budget: int):
    rows, first, groups = material
    batches = pack(rows, first, groups, budget=budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(rows)))
    for batch in batches:
        assert computed(batch, rows, first) <= budget or len(batch) == 1


@given(rows_of_groups(), st.integers(1, 120))
def test_the_same_rows_give_the_same_layout(material: tuple, budget: int):
    rows, first, groups = material
    renamed = [f"another {name}" for name in groups]
    assert pack(rows, first, groups, budget=budget) == pack(list(rows), list(first), renamed, budget=budget)


@given(rows_of_groups())
def test_the_shared_length_never_reaches_a_trained_token(material: tuple):
    rows, first, _ = material
    shared = shared_length(rows, first)
    assert shared <= min(first)
    assert len({row[:shared] for row in rows}) == 1
    assert len(rows) > 1 or shared == 0


def test_long_prompts_keep_groups_together_and_short_ones_sort_by_length():
    def material(prompt: int) -> tuple[list[tuple[int, ...]], list[int], list[str]]:
        rows = [((number,) * prompt) + (9,) * own for own in (3, 400) for number in (1, 2)]
        return rows, [prompt] * 4, ["a", "b", "a", "b"]

    assert sorted(map(sorted, pack(*material(3000), budget=8000))) == [[0, 2], [1, 3]]
    assert sorted(map(sorted, pack(*material(5), budget=810))) == [[0, 1], [2, 3]]


def test_a_row_beyond_the_budget_runs_alone():
    assert pack([(1,) * 50, (1,) * 5], [2, 2], ["a", "a"], budget=10) in ([[1], [0]], [[0], [1]])
