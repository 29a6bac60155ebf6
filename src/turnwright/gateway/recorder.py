"""Recorder: the one place where a policy call becomes tokens, for one trajectory.

An agent's messages come in and its reply goes out; between the two stand the exact prompt ids, what the engine
sampled, and the turn that ties both to the call they go on from. That tie is decided when the request is made,
because the prompt ids depend on it (`rollout/tokens` only reads it):

    messages --same messages as a held turn--------> held ids + what follows        CLEAN or REALIGN
             --same ids as a held turn--------------> full rendering                CLEAN
             --same text as a held turn-------------> held ids + remaining ids      CLEAN or REALIGN
             --anything else------------------------> full rendering, a new row     FORK with its cause

REALIGN says that the reply which the call goes on from is kept in ids that the template would not write.

Everything up to the engine runs without waiting, so calls made at once (sub-agents) never claim one turn twice.
"""

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import ContextOverflowError
from turnwright.core.message import Message, ToolSpec
from turnwright.core.protocols import Reply
from turnwright.core.seeding import derive_key
from turnwright.core.trajectory import Trajectory, TurnKind, hash_ids
from turnwright.gateway.calls import UsedSampling
from turnwright.gateway.held import Held, build_trajectory
from turnwright.gateway.history import OWN_EDITS, ForkCause, answered_turn, fork_cause, starts_with
from turnwright.gateway.sampling import SamplingLimits
from turnwright.inference.base import Engine, Generation, GenerationRequest
from turnwright.rendering.renderer import Renderer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    """The ids of one request and where they come from."""

    token_ids: tuple[int, ...]
    messages: tuple[Message, ...]
    """The request's messages; those that a held turn has too are its objects."""
    kind: TurnKind
    parent: Held | None = None
    cause: ForkCause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunCall:
    """A call whose number, parent and prompt ids are settled; the engine has not been asked."""

    index: int
    """Number of the call within the trajectory."""
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    used: UsedSampling
    """``max_tokens`` is what the sequence limit leaves."""
    prompt_token_ids: tuple[int, ...]
    prefix_hash: str
    shared_prefix_length: int
    kind: TurnKind
    cause: str
    parent: Held | None
    follows: Held | None
    """Turn whose reply the request answers: its sender got that reply."""


class Recorder:
    """The ChatPolicy and PromptMeter of one trajectory; see the module for how a request finds the turn it extends.

    The episode is opened and closed at the engine by whoever runs it, because only the runner knows when it ends.
    """

    def __init__(
        self,
        key: EpisodeKey,
        renderer: Renderer,
        engine: Engine,
        *,
        sampling: SamplingLimits,
        run_seed: int,
        has_context_policy: bool = False,
    ) -> None:
        """Start an empty trajectory.

        Args:
            key: names the attempt; part of every sampling key.
            renderer: shared by all recorders of a run.
            engine: samples the replies.
            sampling: temperature, top-p and length of each reply.
            run_seed: part of every sampling key.
            has_context_policy: who asks shortens the history by a policy of the run: such forks have a cause of their
                own.
        """
        self._key = key
        self._renderer = renderer
        self._engine = engine
        self._sampling = sampling
        self._run_seed = run_seed
        self._has_context_policy = has_context_policy
        self._num_calls = 0
        self._held: dict[int, Held] = {}
        self._begun: dict[int, BegunCall] = {}
        self._claimed: set[int] = set()

    @property
    def turns(self) -> tuple[Held, ...]:
        """What was recorded so far, in the order of asking."""
        return tuple(self._held[index] for index in sorted(self._held))

    def turn(self, index: int) -> Held | None:
        """Return one recorded turn; None when there is none of this number."""
        return self._held.get(index)

    def forget(self) -> None:
        """Free everything recorded; nothing can be asked afterwards."""
        self._held.clear()
        self._claimed.clear()

    def fills_sequence(self, turn: Held) -> bool:
        """Tell whether a turn's prompt and reply take all that the sequence limit allows."""
        return turn.num_tokens >= self._engine.max_sequence_length

    def trajectory(self, abandoned: frozenset[int] = frozenset()) -> Trajectory:
        """Return the turns recorded so far, in the order they were asked for.

        Args:
            abandoned: Numbers of turns whose reply never reached the caller.
        """
        return build_trajectory(self._key, self.turns, abandoned)

    async def chat(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Sample one reply and record it.

        Raises:
            ContextOverflowError: the conversation leaves no room for a reply; nothing is recorded.
        """
        limits = self._sampling
        used = UsedSampling(temperature=limits.temperature, top_p=limits.top_p, max_tokens=limits.max_tokens)
        turn = await self.sample(self.begin(messages, tools, used))
        num_sampled = len(turn.sampled_ids)
        return Reply(
            message=turn.reply,
            finish_reason=turn.finish_reason,
            num_prompt_tokens=turn.num_prompt_tokens,
            num_sampled_tokens=num_sampled,
            mean_logprob=sum(turn.logprobs) / max(1, num_sampled),
            policy_version=turn.policy_versions[-1] if num_sampled else self._engine.policy_version,
        )

    def num_prompt_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> int:
        """Return how many ids the prompt would have if this were asked next; nothing is claimed."""
        messages, tools = tuple(messages), tuple(tools)
        prompt, _ = self._continued(messages, tools)
        # Whoever counts sends the messages that it got: what goes on from none of them is rendered as a whole.
        return len(prompt.token_ids if prompt is not None else self._renderer.prompt_ids(messages, tools))

    def num_tokens(self, text: str) -> int:
        """Return how many ids a text of a message has by itself."""
        return self._renderer.num_text_tokens(text)

    def begin(self, messages: Sequence[Message], tools: Sequence[ToolSpec], used: UsedSampling) -> BegunCall:
        """Settle what a call extends and claim it; ``sample`` must follow.

        Raises:
            ContextOverflowError: the conversation leaves no room for a reply; nothing is claimed.
            UnsupportedModelError: the template cannot render it; nothing is claimed.
        """
        tools = tuple(tools)
        prompt = self._prompt(tuple(messages), tools)
        parent = prompt.parent
        room = self._room(prompt.token_ids, used.max_tokens)
        used = used if room == used.max_tokens else replace(used, max_tokens=room)
        if parent is not None:
            shared_prefix_length = parent.shared_prefix_length
        else:
            shared_prefix_length = self._renderer.shared_prefix_length(prompt.messages, tools)
        begun = BegunCall(
            index=self._claim(parent),
            messages=prompt.messages,
            # Equal objects are kept once in a chain of turns.
            tools=parent.tools if parent and parent.tools == tools else tools,
            used=parent.used if parent and parent.used == used else used,
            prompt_token_ids=prompt.token_ids,
            prefix_hash=hash_ids(prompt.token_ids),
            shared_prefix_length=shared_prefix_length,
            kind=prompt.kind,
            cause=prompt.cause or "",
            parent=parent,
            follows=parent or answered_turn(prompt.messages, self._held.values()),
        )
        self._begun[begun.index] = begun
        return begun

    async def sample(self, begun: BegunCall, on_tokens: Callable[[tuple[int, ...]], None] | None = None) -> Held:
        """Ask the engine and record the turn. A call that fails or is cancelled gives its claim back.

        Args:
            begun: From ``begin``.
            on_tokens: Called with newly sampled ids, in order; None = the reply may come in one piece.
        """
        began = time.perf_counter()
        try:
            generation = await self._engine.generate(self._request(begun), on_tokens)
            turn = self._hold(begun, generation, latency_ms=(time.perf_counter() - began) * 1000)
        except BaseException:
            self._release(begun)
            raise
        finally:
            del self._begun[begun.index]
        self._held[turn.index] = turn
        return turn

    def sampling_key(self, turn: int, seed: int | None) -> int:
        """Return the key of a call's random stream.

        A request's own seed is mixed in and replaces nothing: agents that always send the same one would otherwise make
        every attempt of a group the same.
        """
        parts = (self._run_seed, self._key.task_id, self._key.attempt, turn)
        return derive_key(*parts) if seed is None else derive_key(*parts, seed)

    def _request(self, begun: BegunCall) -> GenerationRequest:
        used, renderer = begun.used, self._renderer
        return GenerationRequest(
            key=self._key,
            turn=begun.index,
            prompt_token_ids=begun.prompt_token_ids,
            shared_prefix_length=begun.shared_prefix_length,
            max_tokens=used.max_tokens,
            temperature=used.temperature,
            top_p=used.top_p,
            stop_token_ids=renderer.stop_token_ids,
            stop_when=(lambda ids: renderer.has_stop(ids, used.stop)) if used.stop else None,
            sampling_key=self.sampling_key(begun.index, used.seed),
        )

    def _hold(self, begun: BegunCall, generation: Generation, *, latency_ms: float) -> Held:
        sampled = generation.token_ids
        reply = self._renderer.parse_reply(sampled, turn=begun.index, stop=begun.used.stop)
        start = begun.parent.num_tokens if begun.parent else 0
        return Held(
            index=begun.index,
            parent=begun.parent,
            follows=begun.follows,
            kind=begun.kind,
            cause=begun.cause,
            messages=(*begun.messages, reply),
            tools=begun.tools,
            new_prompt_ids=array("I", begun.prompt_token_ids[start:]),
            sampled_ids=array("I", sampled),
            logprobs=array("d", generation.logprobs),
            policy_versions=array("q", generation.policy_versions),
            kept_logmass=array("d", generation.kept_logmass) if generation.kept_logmass else (),
            num_prompt_tokens=len(begun.prompt_token_ids),
            prefix_hash=begun.prefix_hash,
            used=begun.used,
            finish_reason=generation.finish_reason,
            shared_prefix_length=begun.shared_prefix_length,
            has_reasoning=any(message.reasoning for message in (*begun.messages, reply)),
            latency_ms=latency_ms,
        )

    def _free(self) -> list[Held]:
        """Return the turns that nothing goes on from, longest first."""
        free = [turn for turn in self._held.values() if turn.index not in self._claimed]
        # Of equal ones the latest: who asks the same again goes on from the reply he got last.
        return sorted(free, key=lambda turn: (turn.num_tokens, turn.index), reverse=True)

    def _continued(
        self, messages: tuple[Message, ...], tools: tuple[ToolSpec, ...]
    ) -> tuple[_Prompt | None, ForkCause | None]:
        """Return the prompt of a request that has the messages of a held turn; None, with why if it cannot be kept."""
        free = self._free()
        parent = next((turn for turn in free if turn.tools == tools and starts_with(messages, turn.messages)), None)
        if parent is None:
            return None, None
        new_messages = messages[len(parent.messages) :]
        refused = self._template_refuses(parent, new_messages)
        if refused is not None:
            return None, refused
        more = self._renderer.continuation_ids(parent.sampled_ids, new_messages, tools)
        prompt = _Prompt(
            token_ids=parent.token_ids + more,
            messages=parent.messages + new_messages,
            kind=self._kind_after(parent),
            parent=parent,
        )
        return prompt, None

    def _prompt(self, messages: tuple[Message, ...], tools: tuple[ToolSpec, ...]) -> _Prompt:
        """Decide what the request extends, longest first, and with which ids."""
        continued, refused = self._continued(messages, tools)
        if continued is not None:
            return continued
        full = self._renderer.prompt_ids(messages, tools)
        if not self._held and not self._begun:
            return _Prompt(token_ids=full, messages=messages, kind="root")
        free = self._free()
        for turn in free:
            # The reply first: whole prompts are put together only for the one that will most likely do.
            same_reply = full[turn.num_prompt_tokens : turn.num_tokens] == tuple(turn.sampled_ids)
            if same_reply and full[: turn.num_tokens] == turn.token_ids:
                return _Prompt(token_ids=full, messages=messages, kind="clean", parent=turn)
        text = self._renderer.decode(full)
        for turn in free:
            # Fewer messages of the same text spell out the special tokens of the others: that is another conversation.
            if len(messages) < len(turn.messages) or self._renderer.decode(turn.sampled_ids) not in text:
                continue
            held = self._renderer.decode(turn.token_ids)
            # Half a character at the end is another one in the whole text.
            if not text.startswith(held.rstrip("\ufffd")):
                continue
            more = self._renderer.remainder_ids(held, full)
            if more is not None:
                ids = turn.token_ids + more
                return _Prompt(token_ids=ids, messages=messages, kind=self._kind_after(turn), parent=turn)
        cause = refused or fork_cause(messages, tools, self._calls())
        if self._has_context_policy and cause in OWN_EDITS:
            cause = "context"
        return _Prompt(token_ids=full, messages=messages, kind="fork", cause=cause)

    def _calls(self) -> list[Held | BegunCall]:
        """Return all calls, recorded or in work, in the order of asking."""
        calls: dict[int, Held | BegunCall] = {**self._held, **self._begun}
        return [calls[index] for index in sorted(calls)]

    def _template_refuses(self, parent: Held, new_messages: Sequence[Message]) -> ForkCause | None:
        """Name what the template would do to the held text once ``new_messages`` follow, if it would not keep it."""
        for message in new_messages:
            following = self._renderer.template.following(message.role)
            if parent.has_reasoning and not following.keeps_reasoning:
                return "thinking_dropped"
            if not following.keeps_text:
                return "template_rewrites_history"
        return None

    def _kind_after(self, parent: Held) -> TurnKind:
        return "clean" if self._renderer.is_canonical(parent.reply, parent.sampled_ids) else "realign"

    def _room(self, token_ids: tuple[int, ...], max_tokens: int) -> int:
        limit = self._engine.max_sequence_length
        room = min(max_tokens, limit - len(token_ids))
        if room < 1:
            raise ContextOverflowError(
                f"the prompt of episode {str(self._key)!r} leaves no room for a reply: got {len(token_ids)} tokens, "
                f"expected fewer than max_sequence_length = {limit}; raise it, or lower max_turns or tool output"
            )
        return room

    def _claim(self, parent: Held | None) -> int:
        if parent is not None:
            self._claimed.add(parent.index)
        self._num_calls += 1
        return self._num_calls - 1

    def _release(self, begun: BegunCall) -> None:
        """Undo a claim whose call failed; its number is used again unless a later call already has the next one."""
        if begun.parent is not None:
            self._claimed.discard(begun.parent.index)
        if begun.index == self._num_calls - 1:
            self._num_calls -= 1
