import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import ContextOverflowError, EngineStoppedError
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.core.protocols import Reply
from turnwright.core.seeding import derive_key
from turnwright.core.trajectory import hash_ids
from turnwright.gateway.calls import UsedSampling
from turnwright.gateway.recorder import Recorder
from turnwright.gateway.sampling import SamplingLimits
from turnwright.inference.base import Generation, GenerationRequest, TokenListener
from turnwright.inference.scripted import Script, ScriptedEngine
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.tokens import cut_rows

KEY = EpisodeKey(task_id="order-4", attempt=2)
TOOLS = (ToolSpec(name="get_order", description="Look an order up.", parameters={"type": "object", "properties": {}}),)
OPENING = (Message(role="system", content="You are an agent."), Message(role="user", content="order: O3"))
CALL = '<tool_call>{"name": "get_order", "arguments": {"order": "O3"}}</tool_call>'
UNUSUAL_CALL = '<tool_call>{"name":"get_order", "arguments":{"order":"O3"}}</tool_call>'


USED = UsedSampling(temperature=0.7, top_p=1.0, max_tokens=64)


def user(text: str) -> Message:
    return Message(role="user", content=text)


def result(text: str, reply: Reply) -> Message:
    return Message(role="tool", content=text, tool_call_id=reply.message.tool_calls[0].id, name="get_order")


class Session:
    """A recorder on a scripted engine, called without awaiting."""

    def __init__(
        self,
        renderer: Renderer,
        script: Sequence[str] | Script,
        *,
        max_tokens: int = 64,
        limit: int = 4096,
        has_context_policy: bool = False,
    ) -> None:
        self.renderer = renderer
        self.engine = ScriptedEngine(renderer.tokenizer, script, max_sequence_length=limit)
        sampling = SamplingLimits(temperature=0.7, top_p=1.0, max_tokens=max_tokens)
        self.recorder = Recorder(
            KEY, renderer, self.engine, sampling=sampling, run_seed=5, has_context_policy=has_context_policy
        )

    def chat(self, *messages: Message, tools: Sequence[ToolSpec] = TOOLS) -> Reply:
        return asyncio.run(self.recorder.chat(messages, tools))

    @property
    def tree(self) -> list[tuple[int | None, str, str]]:
        return [(turn.parent, turn.kind, turn.cause) for turn in self.recorder.trajectory().turns]


def test_a_tool_loop_is_one_row_and_equals_the_templates_rendering(renderer: Renderer):
    session = Session(renderer, [CALL, CALL, "late"])
    first = session.chat(*OPENING)
    conversation = [*OPENING, first.message, result('{"item": "K1"}', first)]
    second = session.chat(*conversation)
    conversation += [second.message, result('{"item": "K2"}', second)]
    third = session.chat(*conversation)

    assert session.tree == [(None, "root", ""), (0, "clean", ""), (1, "clean", "")]
    trajectory = session.recorder.trajectory()
    assert trajectory.turns[2].prompt_token_ids == renderer.prompt_ids(conversation, TOOLS)
    (row,) = cut_rows(trajectory)
    assert renderer.decode(row.token_ids) == renderer.prompt_text(conversation, TOOLS) + "late<|im_end|>"
    assert row.num_trained_tokens == trajectory.num_sampled_tokens
    assert third.num_prompt_tokens == len(trajectory.turns[2].prompt_token_ids)
    assert third.mean_logprob == pytest.approx(sum(trajectory.turns[2].logprobs) / third.num_sampled_tokens)


def test_the_request_says_what_the_engine_must_know(renderer: Renderer):
    session = Session(renderer, [CALL, "late"])
    first = session.chat(*OPENING)
    session.chat(*OPENING, first.message, result("{}", first))
    requests = session.engine.requests
    prefix = renderer.shared_prefix_length(OPENING, TOOLS)
    assert [(r.key, r.turn, r.shared_prefix_length) for r in requests] == [(KEY, 0, prefix), (KEY, 1, prefix)]
    assert all(r.stop_token_ids == renderer.stop_token_ids and r.temperature == 0.7 for r in requests)
    assert requests[0].sampling_key != requests[1].sampling_key
    again = Session(renderer, [CALL])
    again.chat(*OPENING)
    assert again.engine.requests[0].sampling_key == requests[0].sampling_key


def test_every_turn_carries_the_hash_of_its_prompt(renderer: Renderer):
    session = Session(renderer, ["late"])
    session.chat(*OPENING)
    (turn,) = session.recorder.trajectory().turns
    assert turn.prefix_hash == hash_ids(turn.prompt_token_ids)


def test_the_history_is_rendered_once(renderer: Renderer, monkeypatch: pytest.MonkeyPatch):
    rendered: list[int] = []
    render = renderer.template.text

    def counting_text(
        messages: Sequence[Message], tools: Sequence[ToolSpec], *, generation_prompt: bool = False
    ) -> str:
        rendered.append(len(messages))
        return render(messages, tools, generation_prompt=generation_prompt)

    monkeypatch.setattr(renderer.template, "text", counting_text)
    session = Session(renderer, [f"reply number {i}" for i in range(6)])
    conversation = [OPENING[0], user("a question nobody asked before")]
    for i in range(6):
        conversation.append(session.chat(*conversation).message)
        conversation.append(user(f"question {i} that is new"))
    assert max(rendered) == 3  # stand-in user, stand-in reply, the new message
    assert session.tree[-1] == (4, "clean", "")


@pytest.mark.parametrize("script", [CALL, UNUSUAL_CALL])
def test_a_client_that_spells_the_call_its_own_way_extends_the_turn(renderer: Renderer, script: str):
    session = Session(renderer, [script, "late"])
    session.chat(*OPENING)
    call = ToolCall(id="theirs", name="get_order", arguments='{"order":"O3"}')
    spelled = Message(role="assistant", content=" ", tool_calls=(call,))
    session.chat(*OPENING, spelled, Message(role="tool", content="{}", tool_call_id="theirs", name="get_order"))
    parent, kind, _ = session.tree[1]
    assert (parent, kind) == (0, "clean" if script is CALL else "realign")
    assert len(cut_rows(session.recorder.trajectory())) == 1


def test_realigned_history_keeps_the_sampled_ids(renderer: Renderer):
    session = Session(renderer, [UNUSUAL_CALL, CALL, "late"])
    first = session.chat(*OPENING)
    conversation = [*OPENING, first.message, result("{}", first)]
    second = session.chat(*conversation)
    session.chat(*conversation, second.message, result("{}", second))
    assert [kind for _, kind, _ in session.tree] == [
        "root",
        "realign",
        "clean",
    ]  # the second reply is as the template writes it
    turns = session.recorder.trajectory().turns
    held = turns[0].prompt_token_ids + turns[0].sampled_token_ids
    assert turns[1].prompt_token_ids[: len(held)] == held
    assert turns[1].prompt_token_ids != renderer.prompt_ids(conversation, TOOLS)


def test_a_cut_reply_is_extended_with_the_end_of_turn_it_lacks(renderer: Renderer):
    session = Session(renderer, ["Look the order up", "late"], max_tokens=2)
    first = session.chat(*OPENING)
    assert first.finish_reason == "length"
    conversation = [*OPENING, first.message, user("go on")]
    session.chat(*conversation)
    assert session.tree[1] == (0, "clean", "")
    assert session.recorder.trajectory().turns[1].prompt_token_ids == renderer.prompt_ids(conversation, TOOLS)


def test_raw_text_instead_of_a_parsed_call_is_the_same_ids(renderer: Renderer):
    session = Session(renderer, [CALL, "late"])
    session.chat(*OPENING)
    session.chat(*OPENING, Message(role="assistant", content=CALL), user("and?"))
    assert session.tree[1] == (0, "clean", "")


class LetterEngine:
    """Spells every reply byte by byte, as no tokenizer would."""

    policy_version = 0
    max_sequence_length = 4096

    def __init__(self, renderer: Renderer, text: str) -> None:
        letters = [token for letter in text for token in renderer.encode(letter)]
        self._ids = (*letters, *renderer.stop_token_ids)

    def open_episode(self, key: EpisodeKey) -> None: ...

    def close_episode(self, key: EpisodeKey) -> None: ...

    async def generate(self, request: GenerationRequest, on_tokens: TokenListener | None = None) -> Generation:
        length = len(self._ids)
        return Generation(token_ids=self._ids, logprobs=(-1.0,) * length, policy_versions=(0,) * length)


@pytest.mark.parametrize("content", ["get_order", "\n\nget_order"])
def test_other_ids_of_the_same_text_are_realigned(renderer: Renderer, content: str):
    engine = LetterEngine(renderer, content)
    recorder = Recorder(KEY, renderer, engine, sampling=SamplingLimits(max_tokens=64), run_seed=5)
    asyncio.run(recorder.chat(OPENING, TOOLS))
    asyncio.run(recorder.chat([*OPENING, Message(role="assistant", content=content), user("and?")], TOOLS))
    trajectory = recorder.trajectory()
    assert [turn.kind for turn in trajectory.turns] == ["root", "realign"]
    assert len(cut_rows(trajectory)) == 1


def test_an_edited_history_forks(renderer: Renderer):
    session = Session(renderer, ["early", "late"])
    session.chat(*OPENING)
    session.chat(*OPENING, Message(role="assistant", content="something else"), user("and?"))
    assert session.tree[1] == (None, "fork", "history_edited")
    assert len(cut_rows(session.recorder.trajectory())) == 2


@pytest.mark.parametrize(
    "opening",
    [
        (OPENING[0], user("a sub-agent's question")),
        (replace(OPENING[0], content="You are a sub-agent."), OPENING[1]),
    ],
    ids=["question", "system"],
)
def test_another_opening_is_a_sub_agent(renderer: Renderer, opening: Sequence[Message]):
    session = Session(renderer, ["early", "late"])
    session.chat(*OPENING)
    session.chat(*opening)
    assert session.tree[1] == (None, "fork", "sub_agent")


@pytest.mark.parametrize("num_kept", [0, 1, 2])
def test_a_shorter_middle_is_a_compaction(renderer: Renderer, num_kept: int):
    session = Session(renderer, ["a0", "a1", "a2", "a3"])
    conversation = list(OPENING)
    for question in ("and?", "or?", "why?"):
        conversation += [session.chat(*conversation).message, user(question)]
    summary = user("so far: the order is late")
    kept = conversation[len(conversation) - num_kept :]
    session.chat(*OPENING, summary, *kept)
    assert session.tree[3] == (None, "fork", "compaction")


def test_an_edit_that_drops_nothing_is_no_compaction(renderer: Renderer):
    session = Session(renderer, ["a0", "a1", "a2"])
    first = session.chat(*OPENING)
    second = session.chat(*OPENING, first.message, user("and?"))
    edited = replace(first.message, content="something else")
    session.chat(*OPENING, edited, user("and?"), second.message, user("or?"))
    assert session.tree[2] == (None, "fork", "history_edited")


def test_a_changing_system_text_is_an_edit(renderer: Renderer):
    session = Session(renderer, ["a0", "a1"])
    first = session.chat(*OPENING)
    session.chat(replace(OPENING[0], content="It is noon."), OPENING[1], first.message, user("and?"))
    assert session.tree[1] == (None, "fork", "history_edited")


def test_one_message_that_spells_a_whole_conversation_is_not_that_conversation(renderer: Renderer):
    engine = LetterEngine(renderer, "get_order")
    recorder = Recorder(KEY, renderer, engine, sampling=SamplingLimits(max_tokens=64), run_seed=5)
    reply = asyncio.run(recorder.chat(OPENING, TOOLS)).message
    whole = renderer.prompt_text([*OPENING, reply, user("and?")], TOOLS)
    spelled = whole[whole.index(OPENING[1].content) :]
    asyncio.run(recorder.chat([OPENING[0], user(spelled)], TOOLS))
    assert [turn.kind for turn in recorder.trajectory().turns] == ["root", "fork"]


def test_who_asks_the_same_again_goes_on_from_the_later_reply(renderer: Renderer):
    session = Session(renderer, ["same", "same", "late"])
    session.chat(*OPENING)
    again = session.chat(*OPENING)
    session.chat(*OPENING, again.message, user("and?"))
    assert session.tree[2] == (1, "clean", "")


def test_a_call_may_stop_early_and_seed_itself(renderer: Renderer):
    session = Session(renderer, ["Look the order up: O3", "late"])
    used = UsedSampling(temperature=0.5, top_p=0.9, max_tokens=64, stop=("order",), seed=3)
    first = asyncio.run(session.recorder.sample(session.recorder.begin(OPENING, TOOLS, used)))
    assert (first.reply.content, first.finish_reason, first.used) == ("Look the ", "stop", used)
    assert session.engine.requests[0].sampling_key == derive_key(5, KEY.task_id, KEY.attempt, 0, 3)
    conversation = [*OPENING, first.reply, user("and?")]
    session.chat(*conversation)
    # The ids of the stop text were sampled, so they stay.
    assert session.tree[1] == (0, "realign", "")
    (row,) = cut_rows(session.recorder.trajectory())
    assert "Look the order" in renderer.decode(row.token_ids)


def test_a_trajectory_keeps_each_id_once(renderer: Renderer):
    session = Session(renderer, lambda request: f"reply {request.turn}")
    conversation = list(OPENING)
    for i in range(12):
        conversation += [session.chat(*conversation).message, user(f"question {i}")]
    turns = session.recorder.turns
    last = session.recorder.trajectory().turns[-1]
    held = sum(len(turn.new_prompt_ids) + len(turn.sampled_ids) for turn in turns)
    assert held == len(last.prompt_token_ids) + len(last.sampled_token_ids)
    # Messages of earlier turns are the very same objects, whatever a client sends.
    assert all(turns[-1].messages[i] is turns[0].messages[i] for i in range(3))
    assert [turn.prefix_hash for turn in turns] == [
        hash_ids(request.prompt_token_ids) for request in session.engine.requests
    ]


def test_other_tools_fork(renderer: Renderer):
    session = Session(renderer, ["early", "late"])
    first = session.chat(*OPENING)
    more = (*TOOLS, replace(TOOLS[0], name="get_item"))
    session.chat(*OPENING, first.message, user("and?"), tools=more)
    assert session.tree[1] == (None, "fork", "tools_changed")


def test_asking_the_same_again_branches(renderer: Renderer):
    session = Session(renderer, ["early", "late"])
    session.chat(*OPENING)
    session.chat(*OPENING)
    assert session.tree[1] == (None, "fork", "branched")


def test_going_on_twice_from_one_turn_branches(renderer: Renderer):
    session = Session(renderer, ["early", "late", "later"])
    first = session.chat(*OPENING)
    session.chat(*OPENING, first.message, user("and?"))
    session.chat(*OPENING, first.message, user("or?"))
    assert session.tree[1:] == [(0, "clean", ""), (None, "fork", "branched")]


def test_reasoning_is_held_where_template_and_client_keep_it(renderer: Renderer, forgetful_renderer: Renderer):
    for each, script in (
        (renderer, f"<think>hm</think>{CALL}"),
        (forgetful_renderer, f"<think>\nhm\n</think>\n\n{CALL}"),
    ):
        session = Session(each, [script, "late"])
        first = session.chat(*OPENING)
        assert first.message.reasoning == "hm"
        session.chat(*OPENING, first.message, result("{}", first))
        assert session.tree[1][0] == 0


def test_a_client_that_drops_reasoning_forks(renderer: Renderer):
    session = Session(renderer, ["<think>hm</think>early", "late"])
    first = session.chat(*OPENING)
    session.chat(*OPENING, replace(first.message, reasoning=""), user("and?"))
    assert session.tree[1] == (None, "fork", "thinking_dropped")


def test_a_template_that_drops_reasoning_forks(forgetful_renderer: Renderer):
    session = Session(forgetful_renderer, ["<think>\nhm\n</think>\n\nearly", "late"])
    first = session.chat(*OPENING)
    conversation = [*OPENING, first.message, user("and?")]
    session.chat(*conversation)
    assert session.tree[1] == (None, "fork", "thinking_dropped")
    fork = session.recorder.trajectory().turns[1]
    assert forgetful_renderer.decode(fork.prompt_token_ids) == forgetful_renderer.prompt_text(conversation, TOOLS)
    assert "hm" not in forgetful_renderer.decode(fork.prompt_token_ids)


def test_interleaved_conversations_do_not_fork_falsely(renderer: Renderer):
    session = Session(renderer, ["a0", "b0", "a1", "b1"])
    other = (OPENING[0], user("another conversation"))
    a0 = session.chat(*OPENING)
    b0 = session.chat(*other)
    session.chat(*OPENING, a0.message, user("and?"))
    session.chat(*other, b0.message, user("and?"))
    assert session.tree == [
        (None, "root", ""),
        (None, "fork", "sub_agent"),
        (0, "clean", ""),
        (1, "clean", ""),
    ]
    assert len(cut_rows(session.recorder.trajectory())) == 2


def test_calls_at_the_same_time_never_extend_one_turn_twice(renderer: Renderer):
    session = Session(renderer, ["early", "late", "later"])
    first = session.chat(*OPENING)

    async def both() -> None:
        await asyncio.gather(
            *(session.recorder.chat([*OPENING, first.message, user(text)], TOOLS) for text in ("and?", "or?"))
        )

    asyncio.run(both())
    assert session.tree[1:] == [(0, "clean", ""), (None, "fork", "branched")]


def test_calls_at_the_same_time_are_one_root_and_its_branches(renderer: Renderer):
    session = Session(renderer, ["early", "late", "later"])

    async def all_at_once() -> None:
        openings = (OPENING, OPENING, (OPENING[0], user("a sub-agent's question")))
        begun = [session.recorder.begin(opening, TOOLS, USED) for opening in openings]
        await asyncio.gather(*map(session.recorder.sample, begun))

    asyncio.run(all_at_once())
    assert session.tree == [(None, "root", ""), (None, "fork", "branched"), (None, "fork", "sub_agent")]


def test_the_longest_turn_that_agrees_is_extended(renderer: Renderer):
    session = Session(renderer, ["x", "x", "late"])
    first = session.chat(*OPENING)
    shorter = [*OPENING, first.message, user("and?")]
    session.chat(*shorter)
    branch = [*shorter, Message(role="assistant", content="x"), user("more")]
    session.chat(*branch)
    assert session.tree[2] == (1, "clean", "")


def test_a_failed_call_gives_its_turn_and_number_back(renderer: Renderer):
    failures = [EngineStoppedError("the engine is closed")]

    def script(request: GenerationRequest) -> str:
        if request.turn == 1 and failures:
            raise failures.pop()
        return "early"

    session = Session(renderer, script)
    first = session.chat(*OPENING)
    conversation = [*OPENING, first.message, user("and?")]
    with pytest.raises(EngineStoppedError):
        session.chat(*conversation)
    session.chat(*conversation)
    assert session.tree[1] == (0, "clean", "")
    assert [turn.index for turn in session.recorder.trajectory().turns] == [0, 1]


def test_a_reply_gets_what_the_sequence_limit_leaves(renderer: Renderer):
    prompt = len(renderer.prompt_ids(OPENING, TOOLS))
    session = Session(renderer, ["Look the order up: O3"], max_tokens=64, limit=prompt + 3)
    reply = session.chat(*OPENING)
    assert (reply.num_sampled_tokens, reply.finish_reason) == (3, "length")
    assert session.engine.requests[0].max_tokens == 3


def test_a_prompt_without_room_is_refused_and_not_recorded(renderer: Renderer):
    prompt = len(renderer.prompt_ids(OPENING, TOOLS))
    session = Session(renderer, ["late"], limit=prompt)
    with pytest.raises(ContextOverflowError, match=f"'order-4#2' leaves no room for a reply: got {prompt} tokens"):
        session.chat(*OPENING)
    assert session.recorder.trajectory().turns == ()


def test_a_history_that_the_context_policy_shortened_forks_for_that_cause(renderer: Renderer):
    session = Session(renderer, [CALL, CALL, "late", "late"], has_context_policy=True)
    first = session.chat(*OPENING)
    second = session.chat(*OPENING, first.message, result('{"item": "K1"}', first))
    dropped = [*OPENING, first.message, result("gone", first), second.message, result("{}", second)]
    counted = session.recorder.num_prompt_tokens(dropped, TOOLS)
    third = session.chat(*dropped)
    fourth = session.chat(*OPENING, user("notes"), second.message, result("{}", second))
    assert session.tree[2:] == [(None, "fork", "context"), (None, "fork", "context")]
    assert third.num_prompt_tokens == counted
    continued = [*OPENING, user("notes"), second.message, result("{}", second), fourth.message, user("and?")]
    turn = session.recorder.trajectory().turns[3]
    held = turn.prompt_token_ids + turn.sampled_token_ids
    more = renderer.continuation_ids(turn.sampled_token_ids, [user("and?")], TOOLS)
    assert session.recorder.num_prompt_tokens(continued, TOOLS) == len(held + more)


def test_a_text_is_counted_as_a_message_would_spell_it(renderer: Renderer):
    session = Session(renderer, [])
    assert session.recorder.num_tokens("O3") == len(renderer.encode("O3"))
    assert session.recorder.num_tokens("<|im_end|>") > 1
