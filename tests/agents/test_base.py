"""What an agent's answer says, in every form an agent may give it."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.agents.base import DETAIL_CHARACTERS, AgentError, AgentReport, excerpt, read_report


@pytest.mark.parametrize(
    ("answer", "report"),
    [
        (None, AgentReport()),
        (1, AgentReport(rewards=(1.0,))),
        (Fraction(1, 4), AgentReport(rewards=(0.25,))),
        ([0.5, 1], AgentReport(rewards=(0.5, 1.0))),
        ({"reward": 0.5, "components": {"format": 1}}, AgentReport(rewards=(0.5,), components={"format": 1.0})),
        ({"reward": [0.5, -0.5]}, AgentReport(rewards=(0.5, -0.5))),
        ({"rewards": (1.0,), "reward": None}, AgentReport(rewards=(1.0,))),
        ({"answer": "done"}, AgentReport()),
        ({"status": "error", "error": "no stock", "reward": 1.0}, AgentReport(error="no stock")),
        ({"status": "error"}, AgentReport(error="the agent gave no reason")),
        ({"status": "skipped"}, AgentReport(skipped=True)),
    ],
)
def test_each_form_is_read(answer: object, report: AgentReport) -> None:
    assert read_report(answer, "agent desk") == report


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("1.0", r"agent desk returned '1\.0' \(str\): expected a reward, a list"),
        ([], "expected a reward, a list"),
        (True, r"a reward of True \(bool\): expected a finite number"),
        (float("nan"), r"a reward of nan \(float\): expected a finite number"),
        (10**400, "a reward of 1000.*expected a finite number"),
        ([1.0, "2"], r"a reward of '2' \(str\)"),
        ({"reward": 1.0, "rewards": [1.0]}, "both 'reward' and 'rewards'"),
        ({"reward": 1.0, "components": [1]}, r"components \[1\] \(list\): expected names and numbers"),
        ({"components": {"format": float("inf")}}, "component 'format' of inf"),
    ],
)
def test_what_is_no_report_is_an_error_of_the_agent(answer: object, complaint: str) -> None:
    with pytest.raises(AgentError, match=complaint) as caught:
        read_report(answer, "agent desk")
    assert caught.value.cause == "agent_error"
    assert caught.value.detail == str(caught.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10) | st.just("reward"), inner),
    max_leaves=8,
)


@pytest.mark.slow
@given(values | st.fixed_dictionaries({"reward": values, "components": values, "status": values}))
def test_any_answer_is_a_report_or_an_error_of_the_agent(answer: object) -> None:
    try:
        report = read_report(answer, "agent desk")
    except AgentError:
        return
    assert all(abs(value) < float("inf") for value in report.rewards or ())


def test_an_excerpt_is_the_end_without_the_keys(rollout) -> None:
    request = rollout(api_key="tw1.secret", sampling_key="")
    assert excerpt(" got tw1.secret\n", request) == "got [key]"
    long = excerpt("x" * 10_000 + "tw1.secret", request)
    assert (len(long), long[:5], long[-7:]) == (DETAIL_CHARACTERS + 3, "...xx", "xx[key]")
