"""Families of functions: what each does, in words and in code, with constants that differ from task to task.

A family belongs to one split, so that no function is met in training and in a test. Loops are over something that ends,
so that a planted bug gives a wrong value or an exception, and never runs forever.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from string import Template

from turnwright.core.task import Split

Draw = Callable[[random.Random], str]
"""Draws the arguments of a call, as Python writes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One function.

    Example: ``source`` is "def fee(days): ... $rate ..." and ``constants`` is {"rate": (3, 5)}.
    """

    split: Split
    source: str
    """Code with a docstring that says all it should do; constants are written $name."""
    draw: Draw
    constants: Mapping[str, Sequence[int]]

    @property
    def name(self) -> str:
        """Return the function's name."""
        return self.source.split("(", 1)[0].removeprefix("def ")

    def variants(self) -> Iterator[str]:
        """Yield the function with each choice of constants."""
        for values in product(*self.constants.values()):
            yield Template(self.source).substitute(dict(zip(self.constants, values, strict=True)))


def _numbers(low: int, high: int, least: int = 0, most: int = 7) -> Draw:
    def draw(chance: random.Random) -> str:
        return str([chance.randint(low, high) for _ in range(chance.randint(least, most))])

    return draw


def _number(low: int, high: int) -> Draw:
    return lambda chance: str(chance.randint(low, high))


def _word(letters: str, most: int = 9) -> Draw:
    return lambda chance: repr("".join(chance.choice(letters) for _ in range(chance.randint(0, most))))


def _words(letters: str, most: int = 6) -> Draw:
    one = _word(letters, 3)
    return lambda chance: "[" + ", ".join(one(chance) for _ in range(chance.randint(0, most))) + "]"


def _both(*draws: Draw) -> Draw:
    return lambda chance: ", ".join(draw(chance) for draw in draws)


def _spans(chance: random.Random) -> str:
    starts = [chance.randint(0, 12) for _ in range(chance.randint(0, 5))]
    return str([(start, start + chance.randint(0, 5)) for start in starts])


def _orders(chance: random.Random) -> str:
    return str([(chance.choice("abc"), chance.randint(1, 9)) for _ in range(chance.randint(0, 6))])


FAMILIES: tuple[Family, ...] = (
    Family(
        split="train",
        constants={"size": (10, 12, 20, 25)},
        draw=_number(0, 90),
        source='''def num_pages(items):
    """Return how many pages of $size items are needed; no items need no page."""
    full = items // $size
    if items % $size > 0:
        return full + 1
    return full
''',
    ),
    Family(
        split="train",
        constants={"low": (0, 2, 5), "high": (10, 15)},
        draw=_numbers(-3, 20),
        source='''def clamp_all(values):
    """Return the values with those below $low raised to $low and those above $high lowered to $high."""
    result = []
    for value in values:
        if value < $low:
            result.append($low)
        elif value > $high:
            result.append($high)
        else:
            result.append(value)
    return result
''',
    ),
    Family(
        split="train",
        constants={"least": (2, 3)},
        draw=_numbers(0, 2, most=10),
        source='''def long_runs(values):
    """Return (value, length) of every run of equal neighbours that is at least $least long, in order."""
    runs = []
    start = 0
    for index in range(1, len(values) + 1):
        if index == len(values) or values[index] != values[start]:
            if index - start >= $least:
                runs.append((values[start], index - start))
            start = index
    return runs
''',
    ),
    Family(
        split="train",
        constants={"free": (3, 5), "rate": (2, 4), "most": (20, 30)},
        draw=_number(0, 25),
        source='''def late_fee(days):
    """Return the fee for days of delay: the first $free are free, each further costs $rate, in all at most $most."""
    if days <= $free:
        return 0
    return min($most, (days - $free) * $rate)
''',
    ),
    Family(
        split="train",
        constants={"width": (2, 3, 4)},
        draw=_numbers(-9, 9, most=9),
        source='''def best_window(values):
    """Return the largest sum of $width neighbours; None where there are fewer than $width values."""
    if len(values) < $width:
        return None
    total = sum(values[:$width])
    best = total
    for index in range($width, len(values)):
        total += values[index] - values[index - $width]
        best = max(best, total)
    return best
''',
    ),
    Family(
        split="train",
        constants={"shift": (1, 2, 3, 5)},
        draw=_word("abcxyz AZ-"),
        source='''def shift_letters(text):
    """Return text with every small letter moved on by $shift in the alphabet, from z on to a; the rest stays."""
    result = ""
    for letter in text:
        if "a" <= letter <= "z":
            place = (ord(letter) - ord("a") + $shift) % 26
            result += chr(ord("a") + place)
        else:
            result += letter
    return result
''',
    ),
    Family(
        split="train",
        constants={"limit": (2, 3)},
        draw=_words("ab"),
        source='''def common_words(words):
    """Return the words that occur at least $limit times, the most frequent first, equal ones in alphabetical order."""
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    frequent = [word for word in counts if counts[word] >= $limit]
    return sorted(frequent, key=lambda word: (-counts[word], word))
''',
    ),
    Family(
        split="train",
        constants={"gap": (0, 1, 2)},
        draw=_spans,
        source='''def merge_spans(spans):
    """Return the spans (start, end) by start, with those merged that are at most $gap apart."""
    merged = []
    for start, end in sorted(spans):
        if merged and start - merged[-1][1] <= $gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
''',
    ),
    Family(
        split="train",
        constants={"base": (2, 3, 7, 8)},
        draw=_number(0, 300),
        source='''def digits_of(number):
    """Return the digits of a number from 0 in base $base, the highest first; 0 has one digit."""
    digits = []
    for _ in range(20):
        digits.append(number % $base)
        number //= $base
        if number == 0:
            break
    return digits[::-1]
''',
    ),
    Family(
        split="train",
        constants={"step": (2, 3, 4)},
        draw=_both(_numbers(0, 9, most=9), _number(0, 3)),
        source='''def every_other(values, first):
    """Return every value in steps of $step, beginning with the index first."""
    result = []
    for index, value in enumerate(values):
        if index >= first and (index - first) % $step == 0:
            result.append(value)
    return result
''',
    ),
    Family(
        split="train",
        constants={"target": (5, 7, 10)},
        draw=_numbers(0, 9, most=8),
        source='''def pairs_with_sum(values):
    """Return the index pairs (i, j) with i < j whose values add up to $target, by i and then by j."""
    pairs = []
    for i in range(len(values)):
        for j in range(i + 1, len(values)):
            if values[i] + values[j] == $target:
                pairs.append((i, j))
    return pairs
''',
    ),
    Family(
        split="train",
        constants={"keep": (1, 2, 3)},
        draw=_both(_orders, _number(1, 4)),
        source='''def top_customers(orders, least):
    """Return the $keep customers with the largest totals of at least least, the largest first, equal ones by name."""
    totals = {}
    for name, amount in orders:
        totals[name] = totals.get(name, 0) + amount
    names = [name for name, total in totals.items() if total >= least]
    names.sort(key=lambda name: (-totals[name], name))
    return names[:$keep]
''',
    ),
    Family(
        split="train",
        constants={"open": (8, 9), "close": (17, 18, 20)},
        draw=_both(_number(0, 23), _number(0, 6)),
        source='''def is_open(hour, day):
    """Return whether the shop is open: from $open until before $close on days 0 to 4, until before 13 on day 5."""
    if day > 5 or hour < $open:
        return False
    if day == 5:
        return hour < 13
    return hour < $close
''',
    ),
    Family(
        split="train",
        constants={"bonus": (5, 10), "streak": (3, 4)},
        draw=lambda chance: str([chance.random() < 0.75 for _ in range(chance.randint(0, 9))]),
        source='''def score(hits):
    """Return one point per hit, and $bonus more whenever a streak of hits reaches $streak, each streak once."""
    points = 0
    streak = 0
    for hit in hits:
        if not hit:
            streak = 0
            continue
        points += 1
        streak += 1
        if streak == $streak:
            points += $bonus
    return points
''',
    ),
    Family(
        split="validation",
        constants={"free": (50, 80), "fee": (4, 6)},
        draw=_both(_numbers(1, 40, most=5), lambda chance: str(chance.random() < 0.3)),
        source='''def shipping(prices, member):
    """Return what shipping costs: nothing for members, for no goods, and from a total of $free on; otherwise $fee."""
    total = sum(prices)
    if member or not prices or total >= $free:
        return 0
    return $fee
''',
    ),
    Family(
        split="validation",
        constants={"drop": (2, 3, 4)},
        draw=_numbers(0, 12, most=8),
        source='''def drops(levels):
    """Return the indexes at which a level is at least $drop lower than the one before."""
    found = []
    for index in range(1, len(levels)):
        if levels[index - 1] - levels[index] >= $drop:
            found.append(index)
    return found
''',
    ),
    Family(
        split="validation",
        constants={"size": (2, 3, 4)},
        draw=_numbers(0, 9, most=10),
        source='''def chunks(values):
    """Return the values in lists of $size, in order; the last one may be shorter."""
    result = []
    for start in range(0, len(values), $size):
        result.append(values[start : start + $size])
    return result
''',
    ),
    Family(
        split="validation",
        constants={"first": (2, 3), "second": (5, 7)},
        draw=_number(0, 40),
        source='''def multiples(limit):
    """Return the sum of all whole numbers from 1 to limit that are multiples of $first or of $second, not of both."""
    total = 0
    for number in range(1, limit + 1):
        if (number % $first == 0) != (number % $second == 0):
            total += number
    return total
''',
    ),
    Family(
        split="test",
        constants={"size": (2, 3)},
        draw=_numbers(0, 5, most=10),
        source='''def recent_misses(requests):
    """Return the requests that are not among the last $size different ones seen, the latest of which stay."""
    cache = []
    misses = []
    for request in requests:
        if request in cache:
            cache.remove(request)
        else:
            misses.append(request)
        cache.append(request)
        if len(cache) > $size:
            cache.pop(0)
    return misses
''',
    ),
    Family(
        split="test",
        constants={"low": (50, 60), "high": (80, 90)},
        draw=_numbers(40, 100, least=0, most=6),
        source='''def grades(points):
    """Return "fail" below $low, "pass" below $high and "merit" from $high on, for each number of points."""
    names = []
    for number in points:
        if number < $low:
            names.append("fail")
        elif number < $high:
            names.append("pass")
        else:
            names.append("merit")
    return names
''',
    ),
    Family(
        split="test",
        constants={"most": (2, 3)},
        draw=_word("aab", 10),
        source='''def squeeze(text):
    """Return text in which no character stands more than $most times in a row; what is beyond is left out."""
    result = ""
    run = 0
    for index, letter in enumerate(text):
        if index > 0 and letter == text[index - 1]:
            run += 1
        else:
            run = 1
        if run <= $most:
            result += letter
    return result
''',
    ),
    Family(
        split="test",
        constants={"start": (10, 20), "least": (0, 5)},
        draw=_numbers(-15, 10, most=7),
        source='''def refused(amounts):
    """Return the bookings that would take a balance of $start below $least; they are left out, the others booked."""
    balance = $start
    out = []
    for amount in amounts:
        if balance + amount < $least:
            out.append(amount)
        else:
            balance += amount
    return out
''',
    ),
    Family(
        split="test",
        constants={"turns": (1, 2, 3)},
        draw=lambda chance: str([[chance.randint(0, 9) for _ in range(3)] for _ in range(chance.randint(1, 3))]),
        source='''def turned(rows):
    """Return a grid of numbers turned $turns times by a quarter to the right."""
    for _ in range($turns):
        height, width = len(rows), len(rows[0])
        rows = [[rows[height - 1 - row][column] for row in range(height)] for column in range(width)]
    return rows
''',
    ),
    Family(
        split="test",
        constants={"window": (2, 3, 5)},
        draw=lambda chance: str(sorted(chance.randint(0, 20) for _ in range(chance.randint(0, 8)))),
        source='''def sessions(times):
    """Return (first, last, count) of each session; a time more than $window after the one before begins another."""
    result = []
    for time in times:
        if result and time - result[-1][1] <= $window:
            first, _, count = result[-1]
            result[-1] = (first, time, count + 1)
        else:
            result.append((time, time, 1))
    return result
''',
    ),
)
