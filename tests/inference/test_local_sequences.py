from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.episode import EpisodeKey
from turnwright.inference.base import GenerationRequest
from turnwright.inference.local_sequences import (
    SHORTEST_COPY,
    ActiveRequest,
    Lane,
    OpenEpisode,
    common_length,
    longest_start,
)

EPISODE = OpenEpisode(key=EpisodeKey(task_id="t", attempt=0))
IDS = st.lists(st.integers(0, 1), max_size=12)


@given(shared=IDS, left=IDS, right=IDS)
def test_the_common_length_is_what_walking_along_both_gives(shared: list[int], left: list[int], right: list[int]):
    left, right = shared + left, shared + right
    walked = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))
    assert common_length(left, right) == walked


def lane(resident: list[int], pending: list[int], slot: int = 0) -> Lane:
    """Return a lane with a request that has still to be fed ``pending``; its future is never looked at."""
    request = GenerationRequest(key=EPISODE.key, turn=0, prompt_token_ids=(), max_tokens=1)
    active = ActiveRequest(request=request, episode=EPISODE, on_tokens=None, future=None, pending=pending)
    return Lane(episode=EPISODE, slot=slot, resident=resident, active=active)


def saved(wanting: Lane, *holders: Lane) -> int:
    """Return how many ids would be copied."""
    found = longest_start(wanting, holders)
    return 0 if found is None else found[1] - len(wanting.resident)


def test_the_longest_start_is_copied_and_only_when_it_saves_enough():
    ids = list(range(100))
    wanting = lane(ids[:10], ids[10:60])
    short, long, other = (lane(held, [1], slot) for slot, held in enumerate((ids[:30], ids[:40], [5, *ids[1:]]), 1))
    assert longest_start(wanting, [short, wanting, long, other]) == (long, 40)
    assert saved(wanting, other, wanting) == 0
    assert saved(wanting, lane(ids, [1])) == 49, "the last id is decoded and not fed"
    assert saved(wanting, lane(ids[: 10 + SHORTEST_COPY], [1])) == SHORTEST_COPY
    assert saved(wanting, lane(ids[: 9 + SHORTEST_COPY], [1])) == 0
