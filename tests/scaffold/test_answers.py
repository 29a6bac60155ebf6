"""What `turnwright init` is told, and what it says to answers that make no environment."""

from typing import Any

import pytest

from turnwright.core.errors import ConfigError
from turnwright.scaffold.answers import Answers, Lookup, read_answers
from turnwright.scaffold.code_answers import CodeAnswers, read_code_answers

GOOD: dict[str, Any] = {
    "kit": "plain",
    "outcome": "decision: pay, refuse",
    "tools": ["get_claim(claim): policy, amount = small|large", "get_policy ( policy ) : state"],
    "hidden": ["assessor"],
    "turns": 3,
}


def test_answers_are_read() -> None:
    assert read_answers("claims-desk", **GOOD) == Answers(
        name="claims-desk",
        kit="plain",
        outcome="decision",
        values=("pay", "refuse"),
        lookups=(
            Lookup(tool="get_claim", argument="claim", ids=("policy",), facts={"amount": ("small", "large")}),
            Lookup(tool="get_policy", argument="policy", ids=(), facts={"state": ("low", "high")}),
        ),
        hidden=("assessor",),
        turns=3,
    )


def test_names_follow_from_the_answers() -> None:
    answers = read_answers("claims-desk", **GOOD)
    assert (answers.class_name, answers.key, answers.ids) == ("ClaimsDesk", "claim", ("claim", "policy"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kit": "live"}, "kit 'live': expected one of recorded, stateful, plain, verifiable"),
        ({"outcome": "decision"}, "outcome 'decision': expected a field and its values, such as"),
        ({"outcome": "decision: pay"}, "expected a field and its values"),
        ({"outcome": "decision: pay, pay"}, "expected a field and its values"),
        ({"outcome": "decision: a, b, c, d, e"}, "5 values need at least as many combinations of facts, and the tools"),
        ({"tools": []}, "tool '': expected a name, the id it is asked with and what it tells"),
        ({"tools": ["get_claim"]}, "tool 'get_claim': expected a name"),
        ({"tools": ["get_claim(claim): amount=low"]}, r"tool 'get_claim' tells 'amount=low': expected a column"),
        ({"tools": ["get_claim(claim): amount", "get_policy(policy): state"]}, "neither the prompt .claim. nor a tool"),
        ({"tools": ["get_claim(claim): decision"]}, "'decision': expected every tool, id, fact"),
        ({"tools": ["get(class): amount"]}, "name 'class': expected a lowercase identifier"),
        ({"tools": ["print(claim): amount"]}, "name 'print': expected a lowercase identifier"),
        ({"hidden": ["amount"]}, "hidden 'amount' is told by a tool"),
        ({"hidden": ["decision"]}, "hidden 'decision' is told by a tool or is the outcome"),
        ({"hidden": ["who is it"]}, "name 'who is it': expected a lowercase identifier"),
        ({"turns": 2}, "turns 2: expected the turns a skilled person needs"),
    ],
)
def test_answers_that_make_no_environment(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_answers("claims-desk", **(GOOD | change))


@pytest.mark.parametrize("name", ["", "Claims", "claims desk", "../claims", "claims--desk", "1st"])
def test_a_bad_name(name: str) -> None:
    with pytest.raises(ConfigError, match="expected lowercase letters"):
        read_answers(name, **GOOD)


CODE: dict[str, Any] = {"outcome": "total( values )", "tools": ["run_tests", "write_file"], "hidden": [], "turns": 3}


def test_answers_for_code_are_read() -> None:
    answers = read_code_answers("sums", **CODE)
    assert answers == CodeAnswers(
        name="sums", function="total", argument="values", classes=("RunsTests", "EditsFiles"), hidden=(), turns=3
    )
    assert answers.tools == ("read_file", "write_file", "replace_text", "run_tests")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": "decision: pay, refuse"}, "expected the function that is asked for, such as 'total.values.'"),
        ({"outcome": "sum(values)"}, "name 'sum': expected a lowercase identifier"),
        ({"tools": ["run_rust"]}, "tool 'run_rust': the verifiable kit has read_file, write_file"),
        ({"tools": ["run_tests"]}, "none writes a file; add write_file"),
        ({"hidden": ["solution"]}, "name 'solution': expected"),
        ({"turns": 1}, "turns 1: expected at least 2"),
    ],
)
def test_answers_that_make_no_code_environment(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_code_answers("sums", **(CODE | change))
