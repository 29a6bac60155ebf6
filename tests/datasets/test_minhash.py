"""MinHash against similarities computed by hand."""

from hypothesis import given, settings
from hypothesis import strategies as st

from turnwright.datasets.minhash import BAND_ROWS, BANDS, bands, estimate, jaccard, shingles, signature

SETS = st.frozensets(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=12)


def numbers(first: int, last: int) -> frozenset[str]:
    return frozenset(map(str, range(first, last)))


def test_shingles_are_three_words_in_a_row() -> None:
    assert shingles(("a", "b", "a", "b", "a")) == {"a b a", "b a b"}
    assert shingles(("a", "b")) == {"a b"}


def test_similarity_is_what_is_shared_of_all() -> None:
    # {a b c, b c d, c d e} and {b c d, c d e, d e f}: 2 of 4.
    assert jaccard(shingles(tuple("abcde")), shingles(tuple("bcdef"))) == 0.5


def test_estimates_lie_where_chance_allows() -> None:
    # 112 draws: a standard error of at most 0.047; three of them either way.
    for first, last, similarity in ((0, 100, 1.0), (10, 110, 90 / 110), (50, 150, 50 / 150), (100, 200, 0.0)):
        found = estimate(signature(numbers(0, 100)), signature(numbers(first, last)))
        error = (similarity * (1 - similarity) / (BANDS * BAND_ROWS)) ** 0.5
        assert abs(found - similarity) <= 3 * error
        assert jaccard(numbers(0, 100), numbers(first, last)) == similarity


def test_bands_cut_a_signature_into_all_its_values() -> None:
    values = signature(numbers(0, 5))
    cut = list(bands(values))
    assert [number for number, _ in cut] == list(range(BANDS))
    assert sorted(value for _, band in cut for value in band) == sorted(values)
    assert {len(band) for _, band in cut} == {BAND_ROWS}


@settings(max_examples=60)
@given(SETS, SETS)
def test_similarity_and_estimate_are_symmetric(one: frozenset[str], other: frozenset[str]) -> None:
    assert jaccard(one, other) == jaccard(other, one)
    assert estimate(signature(one), signature(other)) == estimate(signature(other), signature(one))
    assert estimate(signature(one), signature(one)) == jaccard(one, one) == 1


def test_a_signature_is_the_least_value_of_each_hash_however_many_shingles_there_are() -> None:
    alone = [signature(frozenset({shingle})) for shingle in numbers(0, 200)]
    assert signature(numbers(0, 200)) == tuple(map(min, *alone))


@settings(max_examples=60)
@given(SETS, SETS)
def test_the_signature_of_a_union_is_the_least_of_both(one: frozenset[str], other: frozenset[str]) -> None:
    assert signature(one | other) == tuple(map(min, signature(one), signature(other)))
