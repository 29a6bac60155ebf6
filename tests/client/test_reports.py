from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest

from turnwright.client.reports import Report, completion, reports_for

READY = Report(path="/complete-rollout", fields={"Status": "ready"})


def rewards(*values: float, **more: Any) -> Report:
    return Report(path="/update-reward", fields={"Rewards": list(values), **more})


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (0.5, (READY, rewards(0.5))),
        (0, (READY, rewards(0.0))),
        (Fraction(1, 4), (READY, rewards(0.25))),
        (numpy.float32(0.5), (READY, rewards(0.5))),
        ([1, 0.5], (READY, rewards(1.0, 0.5))),
        ((1.0,), (READY, rewards(1.0))),
        (None, (READY,)),
        ({}, (READY,)),
        ({"answer": "42", "reward": None}, (READY,)),
        ({"reward": 2}, (READY, rewards(2.0))),
        ({"reward": 0.0, "status": "success"}, (READY, rewards(0.0))),
        ({"reward": [0.1, 0.2]}, (READY, rewards(0.1, 0.2))),
        (
            {"reward": 1.0, "components": {"format": 1, "answer": 0.5}},
            (READY, rewards(1.0, Components={"format": 1.0, "answer": 0.5})),
        ),
        ({"reward": 1.0, "components": None}, (READY, rewards(1.0))),
        ({"status": "error", "error": "tool down", "reward": 1.0}, (completion("failed", "tool down"),)),
        ({"status": "error"}, (completion("failed", "the agent returned status 'error'"),)),
        ({"status": "skipped", "reward": 1.0}, ()),
    ],
)
def test_what_a_result_stands_for(result: object, expected: tuple[Report, ...]) -> None:
    assert reports_for(result) == expected


@pytest.mark.parametrize(
    ("result", "kind", "message"),
    [
        ("1.0", TypeError, "must return a number, a list of numbers, a dict or None, got str: '1.0'"),
        (True, TypeError, "got bool: True"),
        (object(), TypeError, "got object"),
        (Decimal(1), TypeError, "got Decimal"),
        (1j, TypeError, "got complex"),
        (float("nan"), ValueError, "reward must be finite, got nan"),
        (10**400, ValueError, "reward must be finite, got inf"),
        ([1.0, float("inf")], ValueError, "reward of turn 1 must be finite, got inf"),
        ([], ValueError, "rewards per turn must not be empty"),
        ([1.0, "2"], TypeError, "reward of turn 1 must be a number, got str: '2'"),
        ({"reward": "high"}, TypeError, "reward must be a number, got str: 'high'"),
        ({"reward": True}, TypeError, r"got bool: True; convert it with float\(\)"),
        ({"reward": 1, "components": {"a": None}}, TypeError, "component 'a' must be a number, got NoneType"),
        ({"reward": 1, "components": [1]}, TypeError, r"components must map names to numbers, got list: \[1\]"),
    ],
)
def test_anything_else_is_named(result: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        reports_for(result)


def test_a_long_reason_is_cut() -> None:
    assert len(completion("failed", "x" * 5000).fields["Detail"]) == 2000


def test_only_two_ways_to_seal() -> None:
    with pytest.raises(ValueError, match="status must be 'ready' or 'failed', got 'done'"):
        completion("done")  # pyright: ignore[reportArgumentType]
