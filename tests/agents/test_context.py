"""What the policy sees of a conversation under each context policy; tokens are characters, but for the laws."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.at_work import CORPUS
from rollout.desk import DONE, KEY, TASK, Desk, Told
from turnwright.agents.builtin import Conversation, LoopLimits, run_tool_loop
from turnwright.agents.context import DROPPED, NOTES_TAKEN, NOTES_WANTED, ContextLimits
from turnwright.core.episode import ContextChange, Episode
from turnwright.core.errors import ContextOverflowError
from turnwright.core.group import Attempt
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.core.outcome import Rewarded
from turnwright.core.protocols import Reply
from turnwright.core.trajectory import Trajectory
from turnwright.environments.base import Done
from turnwright.environments.scripts import call, say
from turnwright.environments.tools import tool
from turnwright.gateway.recorder import Recorder
from turnwright.gateway.sampling import SamplingLimits
from turnwright.inference.base import GenerationRequest
from turnwright.inference.scripted import ScriptedEngine
from turnwright.policies.tokenizer import build_tokenizer
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.runner import EpisodeLimits, run_episode
from turnwright.rollout.tokens import count_tokens, cut_rows
from turnwright.rollout.trainable import turn_rewards
from turnwright.rundir.records import decode_episode, encode

OPENING = 2
"""Messages: the system's and the task."""


class Pages(Desk):
    """A tool whose result is as long as the call says; talks back to what is neither a call nor "done"."""

    @tool
    def read(self, length: int, letter: str = "a") -> str:
        """Return that many letters."""
        return letter * length

    def respond(self, reply: Message) -> list[Message] | Done:
        return Done() if reply.content == "done" else [Message(role="user", content="and?")]


class Characters:
    """A PromptMeter for which every character of a message is a token."""

    def num_prompt_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> int:
        return sum(len(message.content) for message in messages)

    def num_tokens(self, text: str) -> int:
        return len(text)


def read(length: int, letter: str = "a") -> Message:
    return call("read", length=length, letter=letter)


def converse(
    context: ContextLimits, *replies: Message | BaseException, max_sequence_length: int | None = None
) -> tuple[Conversation, Told]:
    environment, policy = Pages(), Told(*replies)
    environment.open(TASK, 0)
    conversation = Conversation(turns=[])
    limits = LoopLimits(max_turns=20, max_sequence_length=max_sequence_length, context=context)
    asyncio.run(run_tool_loop(environment, policy, conversation, limits, meter=Characters()))
    return conversation, policy


def seen(messages: Sequence[Message]) -> list[str]:
    """Return what follows the opening, calls as their names."""
    return [message.content or message.tool_calls[0].name for message in messages[OPENING:]]


def changes(conversation: Conversation) -> list[ContextChange | None]:
    return [turn.context for turn in conversation.turns]


DROP = ContextLimits(policy="drop_oldest", context_tokens=2000, keep_results=1)
NOTES = ContextLimits(policy="summarise", context_tokens=400, keep_results=1)


def test_without_a_policy_the_conversation_grows_and_nothing_is_noted() -> None:
    conversation, policy = converse(ContextLimits(), read(300), read(300), read(300), DONE)
    assert seen(policy.seen[-1]) == ["read", "a" * 300] * 3
    assert changes(conversation) == [None] * 4


def test_a_long_result_is_cut_before_the_policy_sees_it_and_kept_as_it_was() -> None:
    limits = ContextLimits(policy="cap_tool_output", tool_output_tokens=60)
    conversation, policy = converse(limits, read(61), read(60), DONE)
    # The line takes 34 characters of 60, so that 26 letters could stay: 13 of each end, and 35 are missing.
    short = "a" * 13 + "\n[... 35 characters left out ...]\n" + "a" * 13
    assert seen(policy.seen[-1]) == ["read", short, "read", "a" * 60]
    first, second, last = conversation.turns
    assert [message.content for message in first.responses] == [short]
    assert first.context is not None
    assert [message.content for message in first.context.full_results] == ["a" * 61]
    assert first.context.removed_tokens == 1
    assert (second.context, last.context) == (ContextChange(), None)
    assert [tool.name for tool in first.tools] == ["read"]


def test_the_oldest_results_leave_until_there_is_room_for_many_turns() -> None:
    conversation, policy = converse(DROP, *[read(400, letter) for letter in "abcde"], DONE)
    # The opening has 42 characters: the fifth result makes it 2042. A result less is 400 - 22 = 378 less: three must
    # leave to come below 42 + 1958 / 2 = 1021.
    assert len("".join(message.content for message in policy.seen[0])) == 42
    assert seen(policy.seen[4]) == [text for letter in "abcd" for text in ("read", letter * 400)]
    assert seen(policy.seen[5]) == ["read", DROPPED] * 3 + ["read", "d" * 400, "read", "e" * 400]
    done = ContextChange(dropped_results=3, removed_tokens=3 * 378)
    assert changes(conversation) == [*[ContextChange()] * 4, done, None]
    told = [message.content for turn in conversation.turns for message in turn.responses]
    assert told == [letter * 400 for letter in "abcde"], "the episode keeps what was dropped"


def test_what_is_dropped_stays_dropped_and_the_newest_stay() -> None:
    lengths = {"a": 600, "b": 600, "c": 20, "d": 600, "e": 600, "f": 600, "g": 600}
    _, policy = converse(
        replace(DROP, keep_results=2), *[read(length, letter) for letter, length in lengths.items()], DONE
    )
    text = {letter: letter * length for letter, length in lengths.items()}
    # What is shorter than the line in its place stays.
    assert seen(policy.seen[5])[1::2] == [DROPPED, DROPPED, text["c"], text["d"], text["e"]]
    assert seen(policy.seen[6])[1::2] == [DROPPED, DROPPED, text["c"], text["d"], text["e"], text["f"]]
    assert seen(policy.seen[7])[1::2] == [DROPPED, DROPPED, text["c"], DROPPED, DROPPED, text["f"], text["g"]]


def test_what_cannot_be_dropped_overflows_as_before() -> None:
    conversation, policy = converse(DROP, read(2500), ContextOverflowError("full"))
    assert seen(policy.seen[1]) == ["read", "a" * 2500]
    assert (conversation.truncation, changes(conversation)) == ("sequence", [ContextChange()])


@pytest.mark.parametrize(("longest", "dropped"), [(None, 0), (2050, 0), (2041, 1)])
def test_too_little_to_be_worth_a_row_leaves_only_when_the_next_reply_would_not_fit(
    longest: int | None, dropped: int
) -> None:
    # 42 + 400 + 1600: without the first result 378 are less, which is not a quarter of 1958.
    limits = replace(DROP, max_prompt_tokens=longest)
    conversation, policy = converse(limits, read(400), read(1600), DONE)
    assert seen(policy.seen[2])[1::2] == [DROPPED if dropped else "a" * 400, "a" * 1600]
    change = conversation.turns[1].context
    assert change is not None
    assert change.dropped_results == dropped


def test_notes_of_the_policys_take_the_place_of_the_older_turns() -> None:
    conversation, policy = converse(
        NOTES, *[read(100, letter) for letter in "abcd"], say(" found a to c "), read(100, "e"), DONE
    )
    asked, after = policy.seen[4], policy.seen[5]
    assert seen(asked) == [*(text for letter in "abcd" for text in ("read", letter * 100)), NOTES_WANTED]
    assert seen(after) == [NOTES_TAKEN + "found a to c", "read", "d" * 100]
    assert after[OPENING].role == "user"
    assert seen(policy.seen[6])[-2:] == ["read", "e" * 100]
    assert [turn.reply.content for turn in conversation.turns] == [""] * 5 + ["done"], "notes are no turn"
    removed = 300 - len(NOTES_TAKEN + "found a to c")
    expected = ContextChange(notes=say(" found a to c "), notes_taken=True, removed_tokens=removed)
    assert changes(conversation)[3] == expected


def test_new_notes_replace_the_old_ones() -> None:
    _, policy = converse(NOTES, read(180), read(180), say("one"), read(180), say("two"), read(10), DONE)
    assert seen(policy.seen[3])[0] == NOTES_TAKEN + "one"
    assert seen(policy.seen[-1]) == [NOTES_TAKEN + "two", "read", "a" * 180, "read", "a" * 10]


def test_long_notes_are_cut_to_their_share() -> None:
    _, policy = converse(NOTES, *[read(180)] * 2, say("x" * 300), DONE)
    notes = policy.seen[-1][OPENING].content.removeprefix(NOTES_TAKEN)
    assert len(notes) == 89, "a quarter of what the opening leaves of 400"
    assert notes.startswith("xxx")
    assert "characters left out" in notes


@pytest.mark.parametrize("answer", [read(5), say(""), say("  "), ContextOverflowError("full")])
def test_where_no_notes_come_results_are_dropped(answer: Message | ContextOverflowError) -> None:
    conversation, policy = converse(NOTES, *[read(100, letter) for letter in "abcd"], answer, DONE)
    assert seen(policy.seen[-1]) == ["read", DROPPED] * 3 + ["read", "d" * 100]
    change = conversation.turns[3].context
    assert change is not None
    assert (change.notes_taken, change.dropped_results) == (False, 3)
    assert change.notes == (answer if isinstance(answer, Message) else None)
    assert "read" not in [tool.name for tool in conversation.turns[4].tools], "a call in place of notes is not run"


def test_notes_that_the_end_of_the_sequence_cut_are_not_taken() -> None:
    environment, policy = Pages(), Told(*[read(100, letter) for letter in "abcd"], say("fo"), DONE)
    environment.open(TASK, 0)
    conversation = Conversation(turns=[])
    chat = policy.chat

    async def cut(messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        reply = await chat(messages, tools)
        return replace(reply, finish_reason="length") if messages[-1].content == NOTES_WANTED else reply

    policy.chat = cut
    limits = LoopLimits(max_turns=20, max_sequence_length=15, context=NOTES)
    asyncio.run(run_tool_loop(environment, policy, conversation, limits, meter=Characters()))
    assert seen(policy.seen[-1]) == ["read", DROPPED] * 3 + ["read", "d" * 100]


def test_no_notes_are_asked_for_while_there_is_little_to_replace() -> None:
    # 42 + 85 + 300 is above 400, but notes may have 89, and would replace 85.
    _, policy = converse(NOTES, read(85), read(300), DONE)
    assert seen(policy.seen[-1]) == ["read", "a" * 85, "read", "a" * 300]
    # Unless the next reply would not fit: then what can leave does.
    _, policy = converse(replace(NOTES, max_prompt_tokens=410), read(85), read(300), DONE)
    assert seen(policy.seen[-1]) == ["read", DROPPED, "read", "a" * 300]


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_notes_leave_calls_and_their_results_together(keep: int) -> None:
    both = Message(
        role="assistant",
        tool_calls=(
            ToolCall(id="x", name="read", arguments='{"length": 90, "letter": "b"}'),
            ToolCall(id="y", name="read", arguments='{"length": 90, "letter": "c"}'),
        ),
    )
    _, policy = converse(replace(NOTES, keep_results=keep), read(200), both, say("noted"), DONE)
    newest = ["read", "b" * 90, "c" * 90] if keep else []
    assert seen(policy.seen[-1]) == [NOTES_TAKEN + "noted", *newest]


def test_what_the_world_said_last_is_never_replaced() -> None:
    limits = replace(NOTES, keep_results=0)
    _, policy = converse(limits, read(200), read(100), say("x" * 100), say("noted"), DONE)
    assert seen(policy.seen[-1]) == [NOTES_TAKEN + "noted", "x" * 100, "and?"]


def test_notes_are_asked_for_once_between_two_turns_so_that_every_episode_ends() -> None:
    environment, policy = Pages(), Told(*[read(450)] * 40)
    environment.open(TASK, 0)
    conversation = Conversation(turns=[])
    limits = LoopLimits(max_turns=6, context=replace(NOTES, keep_results=0))
    asyncio.run(run_tool_loop(environment, policy, conversation, limits, meter=Characters()))
    assert (len(conversation.turns), conversation.truncation) == (6, "max_turns")
    assert len(policy.seen) == 6 + 5, "asked after each turn but the last, and answered by a call each time"


def test_who_writes_no_notes_is_asked_again_when_the_conversation_has_grown() -> None:
    # Each turn adds 60 + 4: 42 + 6 x 64 = 426 is too long, and so is what is more than 89 longer.
    chatter = say("x" * 60)
    _, policy = converse(NOTES, *[chatter] * 6, say(""), *[chatter] * 2, say(""), DONE)
    asked = [messages[:-1] for messages in policy.seen if messages[-1].content == NOTES_WANTED]
    assert [sum(len(message.content) for message in messages) for messages in asked] == [426, 426 + 2 * 64]


def test_a_policy_without_a_meter_is_refused() -> None:
    environment = Pages()
    environment.open(TASK, 0)
    limits = LoopLimits(max_turns=6, context=NOTES)
    with pytest.raises(ValueError, match="'summarise' needs a PromptMeter"):
        asyncio.run(run_tool_loop(environment, Told(DONE), Conversation(turns=[]), limits))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a scripted policy does in an episode."""

    acts: tuple[str, ...]
    """Replies to the environment, in order; then "done"."""
    notes: tuple[str, ...]
    """Replies to requests for notes, again and again."""


def tool_call(length: int) -> str:
    return f'<tool_call>{{"name": "read", "arguments": {{"length": {length}}}}}</tool_call>'


ACTS = st.one_of(
    st.lists(st.integers(0, 500), min_size=1, max_size=3).map(lambda lengths: "".join(map(tool_call, lengths))),
    st.sampled_from(["hm", "<tool_call>{oops</tool_call>", "", "let me see " + tool_call(90)]),
)
PLANS = st.builds(
    Plan,
    acts=st.lists(ACTS, max_size=9).map(tuple),
    notes=st.lists(st.sampled_from(["found it", "", tool_call(5), "word " * 40]), min_size=1, max_size=3).map(tuple),
)
MAX_TOKENS = 300
LIMITS = {
    "none": ContextLimits(),
    "cap_tool_output": ContextLimits(policy="cap_tool_output", tool_output_tokens=90),
    "drop_oldest": ContextLimits(policy="drop_oldest", context_tokens=700, keep_results=1),
    "summarise": ContextLimits(policy="summarise", context_tokens=700, keep_results=1),
}


class Watched:
    """A recorder that remembers what it was asked."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.seen: list[tuple[Message, ...]] = []

    async def chat(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        expected = self.recorder.num_prompt_tokens(messages, tools)
        reply = await self.recorder.chat(messages, tools)
        assert reply.num_prompt_tokens == expected, "the meter counts what is asked"
        self.seen.append(tuple(messages))
        return reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """An episode, its tokens, and what the policy was asked."""

    episode: Episode
    trajectory: Trajectory
    seen: list[tuple[Message, ...]] = field(default_factory=list)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(build_tokenizer(CORPUS, vocab_size=400))


def play(plan: Plan, limits: ContextLimits, renderer: Renderer, *, longest: int) -> Played:
    acts, notes = list(plan.acts), list(plan.notes) * 20
    request = renderer.encode(NOTES_WANTED[-40:])

    def script(asked: GenerationRequest) -> str:
        ids = asked.prompt_token_ids
        wants_notes = renderer.decode(request) in renderer.decode(ids[-60:])
        return notes.pop(0) if wants_notes else acts.pop(0) if acts else "done"

    engine = ScriptedEngine(renderer.tokenizer, script, max_sequence_length=longest)
    recorder = Recorder(
        KEY, renderer, engine, sampling=SamplingLimits(max_tokens=MAX_TOKENS), run_seed=5, has_context_policy=True
    )
    policy = Watched(recorder)
    limits = replace(limits, max_prompt_tokens=longest - MAX_TOKENS)
    loop = LoopLimits(max_turns=12, max_sequence_length=longest, context=limits)
    episode = asyncio.run(run_episode(Pages(), TASK, KEY, policy, EpisodeLimits(loop=loop), seed=1, meter=recorder))
    return Played(episode=episode, trajectory=recorder.trajectory(), seen=policy.seen)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITS)
@settings(max_examples=20)
@given(plan=PLANS, longest=st.sampled_from([1200, 3000]))
def test_every_sampled_token_is_trained_once_under_every_policy(
    name: str, plan: Plan, longest: int, renderer: Renderer
) -> None:
    limits = LIMITS[name]
    played = play(plan, limits, renderer, longest=longest)
    episode, trajectory = played.episode, played.trajectory
    rows = cut_rows(trajectory)
    counts = count_tokens([trajectory], rows)
    assert (counts.delivered_fraction, counts.trained) == (1.0, trajectory.num_sampled_tokens)
    trained = sorted(index for row in rows for index, flag in zip(row.turn_index, row.trained, strict=True) if flag)
    assert trained == [turn.index for turn in trajectory.turns for _ in turn.sampled_token_ids]
    assert set(counts.fork_causes) <= ({"context"} if limits.context_tokens else set())
    assert episode.outcome.kind in ("rewarded", "truncated"), episode.outcome
    # A call for each turn, and for notes those that the episode tells of, never two between turns.
    assert len(trajectory.turns) == len(episode.turns) + len(episode.notes_calls)
    for messages in played.seen:
        assert messages[:OPENING] == episode.opening
        assert all(is_answered(messages, position) for position in range(OPENING, len(messages)))
    if name == "drop_oldest":
        for messages, turn in zip(played.seen, trajectory.turns, strict=True):
            older = [message.content for message in messages if message.role == "tool"][: -limits.keep_results]
            above = len(turn.prompt_token_ids) > longest - MAX_TOKENS
            assert not above or all(len(content) <= len(DROPPED) for content in older)
    again = play(plan, limits, renderer, longest=longest)
    assert again.trajectory == trajectory


def is_answered(messages: Sequence[Message], position: int) -> bool:
    """Tell whether a result stands right behind the reply that called for it, and every call has one."""
    message = messages[position]
    if message.role == "assistant":
        results = messages[position + 1 : position + 1 + len(message.tool_calls)]
        return [result.tool_call_id for result in results] == [one.id for one in message.tool_calls]
    if message.role == "tool":
        return messages[position - 1].role in ("assistant", "tool")
    return True


def test_rewards_of_turns_find_them_between_requests_for_notes(renderer: Renderer) -> None:
    plan = Plan(acts=tuple(tool_call(length) for length in (300, 300, 300)), notes=("found it",))
    played = play(plan, LIMITS["summarise"], renderer, longest=3000)
    assert [turn.kind for turn in played.trajectory.turns] == ["root", "clean", "clean", "fork", "clean", "fork"]
    assert played.episode.notes_calls == {2, 4}
    outcome = Rewarded(value=10.0, turn_values=(1.0, 2.0, 3.0, 4.0))
    attempt = Attempt(episode=replace(played.episode, outcome=outcome), trajectory=played.trajectory)
    assert turn_rewards(attempt) == {0: 1.0, 1: 2.0, 3: 3.0, 5: 4.0}


def test_a_run_directory_keeps_what_was_cut_and_noted(renderer: Renderer) -> None:
    plan = Plan(acts=tuple(tool_call(length) for length in (300, 300, 300)), notes=("found it",))
    for name in ("cap_tool_output", "summarise"):
        episode = play(plan, LIMITS[name], renderer, longest=3000).episode
        assert any(turn.context not in (None, ContextChange()) for turn in episode.turns)
        assert decode_episode(encode(episode)) == episode
