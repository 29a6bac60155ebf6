import asyncio
from collections.abc import Iterator

import pytest

from rollout.desk import DONE, LOOK, TASK, Desk
from turnwright.agents.context import ContextLimits
from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.message import Message
from turnwright.core.outcome import Rewarded, Truncated
from turnwright.core.task import Task
from turnwright.environments.scripts import call
from turnwright.policies.tokenizer import build_tokenizer
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.demonstrations import demonstrate, run_script

RENDERER = Renderer(build_tokenizer(["Look the order up: O3"] * 9, 300))


class Shown(Desk):
    """A desk with an oracle and three demonstrators."""

    def oracle(self, task: Task) -> Iterator[Message]:
        (answer,) = yield LOOK
        assert answer.content == '{"order": "O3", "item": "K1"}'
        yield DONE

    def hasty(self, task: Task, seed: int) -> Iterator[Message]:
        yield DONE

    def stubborn(self, task: Task, seed: int) -> Iterator[Message]:
        while True:
            yield LOOK

    def clumsy(self, task: Task, seed: int) -> Iterator[Message]:
        yield call("look", order="crash")


def test_a_script_is_told_what_followed_and_graded():
    episode = asyncio.run(run_script(Shown(), TASK, "oracle", seed=0))
    assert episode.outcome == Rewarded(value=1.0)
    assert [turn.reply.tool_calls[0].id for turn in episode.turns[:1]] == ["call_0_0"]


def test_a_script_may_take_long_but_not_for_ever():
    episode = asyncio.run(run_script(Shown(), TASK, "stubborn", seed=0))
    assert episode.outcome == Truncated(value=0.0, cause="max_turns")
    assert len(episode.turns) == 16


def test_replies_are_learned_the_answer_more_and_all_else_is_context():
    demonstration = asyncio.run(demonstrate(Shown(), TASK, "oracle", RENDERER, seed=0, answer_weight=3.0))
    assert len(demonstration.token_ids) == len(demonstration.weights)
    learned = {
        weight: RENDERER.decode(
            [token for token, own in zip(demonstration.token_ids, demonstration.weights, strict=True) if own == weight]
        )
        for weight in (0.0, 1.0, 3.0)
    }
    assert '"order": "O3"' in learned[1.0]
    assert learned[3.0] == "done<|im_end|>"
    assert "order: O3" in learned[0.0]
    assert '{"order": "O3", "item": "K1"}' in learned[0.0]
    assert set(demonstration.weights) == {0.0, 1.0, 3.0}


def test_the_row_is_what_the_policy_would_meet():
    """Prompt, reply and continuation are tokenised apart, as the recorder does."""
    demonstration = asyncio.run(demonstrate(Shown(), TASK, "hasty", RENDERER, seed=0, answer_weight=1.0))
    environment = Shown()
    environment.open(TASK, 0)
    prompt = RENDERER.prompt_ids(environment.opening(), environment.tool_specs())
    assert demonstration.token_ids == prompt + RENDERER.reply_ids(DONE)


def test_a_demonstrator_that_breaks_the_world_is_refused():
    with pytest.raises(EnvironmentLoadError, match="demonstrator 'clumsy' failed on task 'order-4': tool_error"):
        asyncio.run(demonstrate(Shown(), TASK, "clumsy", RENDERER, seed=0, answer_weight=1.0))


def test_results_are_rendered_as_long_as_the_policy_will_see_them():
    def text(context: ContextLimits) -> str:
        shown = asyncio.run(demonstrate(Shown(), TASK, "oracle", RENDERER, seed=0, answer_weight=1.0, context=context))
        return RENDERER.decode(shown.token_ids)

    capped = text(ContextLimits(policy="cap_tool_output", tool_output_tokens=8))
    assert "characters left out" in capped
    assert '"item": "K1"' not in capped
    assert '"item": "K1"' in text(ContextLimits(policy="drop_oldest", context_tokens=10))
