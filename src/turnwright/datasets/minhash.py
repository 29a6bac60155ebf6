"""MinHash: which prompts share most of their shingles, without comparing all pairs.

A shingle is three words in a row. The Jaccard similarity of two sets of shingles is |A and B| / |A or B|. For a random
hash, the least value over A equals the least value over B with just that probability; a signature holds the least
values of 112 hashes. Signatures are cut into 16 bands of 7: two prompts are compared if any band is equal, which
happens with probability 1 - (1 - s^7)^16: 0.98 for similarity s = 0.8, 0.9999 for 0.9, 0.12 for 0.5.

Broder, On the resemblance and containment of documents (1997); Leskovec et al., Mining of Massive Datasets, chapter 3.
"""

import struct
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice

SHINGLE_WORDS = 3
BANDS = 16
BAND_ROWS = 7
_VALUES = struct.Struct(f"<{BANDS}I")

Signature = tuple[int, ...]
"""Least values, ``BAND_ROWS`` runs of ``BANDS``: value ``row * BANDS + band``."""
_GREATEST: Signature = (2**32 - 1,) * (BANDS * BAND_ROWS)


def shingles(words: Sequence[str]) -> frozenset[str]:
    """Return all runs of three words; a shorter text is one shingle.

    >>> sorted(shingles(("a", "b", "c", "d")))
    ['a b c', 'b c d']
    """
    last = max(1, len(words) - SHINGLE_WORDS + 1)
    return frozenset(" ".join(words[start : start + SHINGLE_WORDS]) for start in range(last))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of shingles that both have among those that either has; shingles are never none.

    >>> jaccard(frozenset("ab"), frozenset("bc"))
    0.3333333333333333
    """
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def signature(text: frozenset[str]) -> Signature:
    """Return the least values of 112 hashes over a set of shingles, which is not empty."""
    least, rest = _GREATEST, iter(text)
    # In batches, so that a prompt of a million words does not hold a hundred million numbers.
    while batch := list(islice(rest, 64)):
        least = tuple(map(min, least, *map(_hashes, batch)))
    return least


def estimate(one: Signature, other: Signature) -> float:
    """Return the similarity that two signatures suggest: the share of equal values."""
    return sum(map(int.__eq__, one, other)) / len(one)


def bands(values: Signature) -> Iterator[tuple[int, Signature]]:
    """Yield the number and the values of each band."""
    for band in range(BANDS):
        yield band, values[band::BANDS]


def _hashes(shingle: str) -> Signature:
    # The salt makes seven independent functions of one; each digest has one value for every band.
    encoded = shingle.encode()
    values: Signature = ()
    for row in range(BAND_ROWS):
        values += _VALUES.unpack(blake2b(encoded, digest_size=_VALUES.size, salt=bytes([row])).digest())
    return values
