"""Quota: which domain each group of a run belongs to, so that the domains' shares follow their weights at every point.

Of the first n groups a domain with share w of the weights has floor(n w) or ceil(n w), for every n, so the part of a
group that a step cannot give is carried over and no domain starves. For that, its j-th group (j = 1, 2, ...) lies
among the groups floor((j - 1) / w) + 1 to ceil(j / w) of the run; of those that may come next, the one whose last
place comes first does, by name where two are equal. Such windows can always be kept: Baruah et al. 1996,
"Proportionate progress" (one resource, utilisation 1).
"""

from bisect import bisect_left
from collections.abc import Mapping
from fractions import Fraction
from math import lcm


class Quota:
    """Deals groups to domains by weight, the same way every time.

    Example: weights 2 and 1 give two of any three groups in a row to the first::

        [Quota({"a": 2.0, "b": 1.0}).domain(number) for number in range(6)]   # a, a, b, a, a, b
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        """Take a positive weight per domain; only their ratios count."""
        # Through its text, 0.1 is a tenth, and 0.1 and 0.9 are whole together.
        exact = {name: Fraction(str(weights[name])) for name in sorted(weights)}
        scale = lcm(*(weight.denominator for weight in exact.values()))
        self._parts = {name: int(weight * scale) for name, weight in exact.items()}
        self._whole = sum(self._parts.values())
        self._places: dict[str, list[int]] = {name: [] for name in self._parts}
        self._sequence: list[str] = []

    def share(self, domain: str) -> Fraction:
        """Return a domain's part of all groups."""
        return Fraction(self._parts[domain], self._whole)

    def domain(self, number: int) -> str:
        """Return the domain of a group, counted from 0 over the whole run."""
        self._extend(number + 1)
        return self._sequence[number]

    def count(self, domain: str, num_groups: int) -> int:
        """Return how many of the first ``num_groups`` groups of the run a domain has."""
        self._extend(num_groups)
        return bisect_left(self._places[domain], num_groups)

    def _extend(self, num_groups: int) -> None:
        while len(self._sequence) < num_groups:
            place = len(self._sequence)
            _, chosen = min(
                (-(-(len(places) + 1) * self._whole // self._parts[name]), name)
                for name, places in self._places.items()
                if len(places) * self._whole < (place + 1) * self._parts[name]
            )
            self._places[chosen].append(place)
            self._sequence.append(chosen)
