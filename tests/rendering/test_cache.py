from turnwright.rendering.cache import RecentlyUsed


def test_what_was_used_longest_ago_makes_room_by_length() -> None:
    cache = RecentlyUsed[tuple[int, ...]](10)
    computed: list[str] = []

    def get(key: str, length: int) -> tuple[int, ...]:
        def compute() -> tuple[int, ...]:
            computed.append(key)
            return (7,) * length

        return cache.get(key, compute)

    # Each takes its length and one more: 4 + 4 fit, and 2 besides.
    for key in ("a", "b", "a"):
        assert get(key, 3) == (7, 7, 7)
    get("c", 1)
    assert computed == ["a", "b", "c"]
    # b was used longest ago, and its room is enough.
    get("d", 2)
    get("a", 3)
    get("c", 1)
    assert computed == ["a", "b", "c", "d"]
    get("b", 3)
    assert computed[4:] == ["b"]


def test_a_value_without_any_room_is_held_until_the_next() -> None:
    cache = RecentlyUsed[tuple[int, ...]](2)
    assert cache.get("long", lambda: (1, 2, 3, 4)) == (1, 2, 3, 4)
    assert cache.get("long", lambda: ()) == (1, 2, 3, 4)
    cache.get("short", lambda: (1,))
    assert cache.get("long", lambda: (9,)) == (9,)


def test_empty_values_take_room_too() -> None:
    cache = RecentlyUsed[tuple[int, ...]](3)
    for number in range(5):
        cache.get(number, tuple)
    again: list[int] = []
    for number in range(5):
        cache.get(number, lambda number=number: again.append(number) or ())
    assert again
