"""Everything an agent can do wrong has one outcome, which docs/outcomes.md states; the run goes on after each.

The page's rows are the expectation: faulty_agents.py has an agent for each of them.
"""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from system.faulty_agents import AGENTS, PATIENCE_SECONDS
from system.gateway_at_work import ANSWER, AtWork, at_work, shipped_renderer
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed, Rewarded, Truncated
from turnwright.inference.base import GenerationRequest
from turnwright.rollout import external
from turnwright.rollout.tokens import cut_rows
from turnwright.rundir.record_log import recover
from turnwright.rundir.recovery import RecoveredTrajectory

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "outcomes.md"


@dataclass(frozen=True, kw_only=True)
class Stated:
    """A row of the page."""

    agent: str
    statuses: list[int]
    outcome: str
    """``Rewarded``, ``Truncated("cause")`` or ``Failed("cause")``."""


def stated() -> list[Stated]:
    rows = re.findall(r"^\| (.+?) \| ([-\d, ]+) \| `(.+?)`", PAGE.read_text(), re.MULTILINE)
    return [
        Stated(agent=agent, statuses=[int(status) for status in re.findall(r"\d+", answers)], outcome=outcome)
        for agent, answers, outcome in rows
    ]


def kind_of(attempt: Attempt) -> str:
    outcome = attempt.episode.outcome
    match outcome:
        case Rewarded():
            assert outcome.value == 1.0
            return "Rewarded"
        case Truncated():
            assert outcome.value == 1.0
            return f'Truncated("{outcome.cause}")'
        case Failed():
            assert outcome.detail, "a failure says what happened"
            return f'Failed("{outcome.cause}")'


@dataclass(frozen=True, kw_only=True)
class Played:
    """What became of an agent's attempt."""

    attempt: Attempt
    statuses: list[int]
    next: Attempt
    """A good agent's attempt after it."""
    logged: RecoveredTrajectory


def answer(request: GenerationRequest) -> str:
    """Talk past any cap when asked to."""
    return ANSWER * 20 if "talk on" in shipped_renderer().decode(request.prompt_token_ids) else ANSWER


async def play(work: AtWork, row: Stated) -> tuple[Attempt, list[int], Attempt]:
    """Let one agent attempt the task, and a good one after it."""
    statuses: list[int] = []
    never_ends = ("hangs", "answers the launch with garbage and does nothing")
    waits = row.outcome in ('Failed("timeout")', 'Failed("no_reward")') or row.agent.startswith(never_ends)
    async with AGENTS[row.agent](statuses) as launcher:
        attempt = await work.attempt(launcher, timeout_seconds=PATIENCE_SECONDS if waits else 60.0)
    async with AGENTS["asks the policy, seals and rewards"]([]) as fine:
        return attempt, statuses, await work.attempt(fine)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """All agents of the page side by side at one gateway."""
    records = tmp_path_factory.mktemp("records")

    async def main() -> list[tuple[Attempt, list[int], Attempt]]:
        async with at_work(records, answer, max_turns=3, delay_seconds=0.02) as work:
            outcomes = await asyncio.gather(*(play(work, row) for row in stated()))
            assert not work.engine.open_episodes
            assert work.opened.gateway.gauges()["trajectories_held"] == 0
            return outcomes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external, "FAREWELL_SECONDS", 1.5)
        outcomes = asyncio.run(main())
    logged = {found.opened.key: found for found in recover(records)}
    return {
        row.agent: Played(attempt=attempt, statuses=statuses, next=following, logged=logged[attempt.episode.key])
        for row, (attempt, statuses, following) in zip(stated(), outcomes, strict=True)
    }


@pytest.mark.parametrize("row", stated(), ids=lambda row: row.agent)
def test_what_an_agent_does_becomes_what_the_page_says(row: Stated, played: dict[str, Played]) -> None:
    made = played[row.agent]
    assert (kind_of(made.attempt), made.statuses) == (row.outcome, row.statuses)
    assert kind_of(made.next) == "Rewarded", "the next trajectory is served"
    assert made.logged.outcome == made.attempt.episode.outcome, "the record log agrees"
    assert made.logged.trajectory == made.attempt.trajectory


def test_the_page_has_a_row_for_each_agent_and_no_other() -> None:
    assert [row.agent for row in stated()] == list(AGENTS)


def test_a_turn_that_the_agent_never_got_is_recorded_and_not_trained(played: dict[str, Played]) -> None:
    attempt = played["disconnects in the middle of a reply, then asks anew"].attempt
    assert [turn.abandoned for turn in attempt.trajectory.turns] == [True, False]
    assert {index for row in cut_rows(attempt.trajectory) for index in row.turn_index} == {-1, 1}
    assert len(attempt.episode.turns) == 1


def test_a_retry_after_a_disconnect_joins_the_call_it_repeats(played: dict[str, Played]) -> None:
    attempt = played["disconnects in the middle of a reply, then retries"].attempt
    (turn,) = attempt.trajectory.turns
    assert not turn.abandoned
    (trained,) = cut_rows(attempt.trajectory)
    assert trained.num_trained_tokens == len(turn.sampled_token_ids)
