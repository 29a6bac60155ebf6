"""Recorder: the one place where a policy call becomes tokens, for one trajectory.

An agent's messages come in and its reply goes out; between the two stand the exact prompt ids, what the engine
sampled, and the turn that ties both to the call they go on from. That tie is decided when the request is made,
because the prompt ids depend on it (`rollout/tokens` only reads it):

    messages --same messages as a held turn--------> held ids + what follows        CLEAN or REALIGN
             --same ids as a held turn--------------> full rendering                CLEAN
             --same text as a held turn-------------> held ids + remaining text     REALIGN
             --anything else------------------------> full rendering, a new row     FORK with its cause

Everything up to the engine runs without waiting, so calls made at once (sub-agents) never claim one turn twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import ContextOverflowError
from turnwright.core.message import Message, ToolSpec
from turnwright.core.protocols import Reply
from turnwright.core.seeding import derive_key
from turnwright.core.trajectory import SampledTurn, Trajectory, TurnKind, hash_ids
from turnwright.gateway.history import ForkCause, Held, fork_cause, starts_with
from turnwright.inference.base import Engine, GenerationRequest
from turnwright.rendering.renderer import Renderer


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingLimits:
    """How each reply of a trajectory is sampled."""

    temperature: float = 1.0
    """0 = greedy; such turns are never trained."""
    top_p: float = 1.0
    max_tokens: int
    """Most ids of one reply; lowered to what the sequence limit leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    """The ids of one request and where they come from."""

    token_ids: tuple[int, ...]
    kind: TurnKind
    parent: Held | None = None
    cause: ForkCause | None = None


class Recorder:
    """The ChatPolicy of one trajectory; see the module for how a request finds the turn it extends.

    The episode is opened and closed at the engine by whoever runs it, because only the runner knows when it ends.
    """

    def __init__(
        self, key: EpisodeKey, renderer: Renderer, engine: Engine, *, sampling: SamplingLimits, run_seed: int
    ) -> None:
        """Start an empty trajectory.

        Args:
            key: names the attempt; part of every sampling key.
            renderer: shared by all recorders of a run.
            engine: samples the replies.
            sampling: temperature, top-p and length of each reply.
            run_seed: part of every sampling key.
        """
        self._key = key
        self._renderer = renderer
        self._engine = engine
        self._sampling = sampling
        self._run_seed = run_seed
        self._num_calls = 0
        self._turns: list[SampledTurn] = []
        self._held: list[Held] = []
        self._claimed: set[int] = set()

    def trajectory(self) -> Trajectory:
        """Return the turns recorded so far, in the order they were asked for."""
        return Trajectory(key=self._key, turns=tuple(sorted(self._turns, key=lambda turn: turn.index)))

    async def chat(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Sample one reply and record it.

        Raises:
            ContextOverflowError: the conversation leaves no room for a reply; nothing is recorded.
        """
        messages, tools = tuple(messages), tuple(tools)
        prompt = self._prompt(messages, tools)
        max_tokens = self._room(prompt.token_ids)
        index = self._claim(prompt.parent)
        if prompt.parent is not None:
            shared_prefix_length = prompt.parent.shared_prefix_length
        else:
            shared_prefix_length = self._renderer.shared_prefix_length(messages, tools)
        prefix_hash = hash_ids(prompt.token_ids)
        try:
            generation = await self._engine.generate(
                GenerationRequest(
                    key=self._key,
                    turn=index,
                    prompt_token_ids=prompt.token_ids,
                    shared_prefix_length=shared_prefix_length,
                    max_tokens=max_tokens,
                    temperature=self._sampling.temperature,
                    top_p=self._sampling.top_p,
                    stop_token_ids=self._renderer.stop_token_ids,
                    sampling_key=derive_key(self._run_seed, self._key.task_id, self._key.attempt, index),
                )
            )
        except BaseException:
            self._release(prompt.parent, index)
            raise
        sampled = generation.token_ids
        reply = self._renderer.parse_reply(sampled, turn=index)
        self._turns.append(
            SampledTurn(
                index=index,
                parent=prompt.parent.index if prompt.parent else None,
                kind=prompt.kind,
                cause=prompt.cause or "",
                prompt_token_ids=prompt.token_ids,
                sampled_token_ids=sampled,
                logprobs=generation.logprobs,
                policy_versions=generation.policy_versions,
                temperature=self._sampling.temperature,
                top_p=self._sampling.top_p,
                kept_logmass=generation.kept_logmass,
                prefix_hash=prefix_hash,
            )
        )
        extends_canonical = prompt.kind != "realign"
        self._held.append(
            Held(
                index=index,
                messages=(*messages, reply),
                tools=tools,
                token_ids=prompt.token_ids + sampled,
                num_sampled=len(sampled),
                shared_prefix_length=shared_prefix_length,
                canonical=extends_canonical and self._renderer.is_canonical(reply, sampled),
                has_reasoning=any(message.reasoning for message in (*messages, reply)),
            )
        )
        return Reply(
            message=reply,
            finish_reason=generation.finish_reason,
            num_prompt_tokens=len(prompt.token_ids),
            num_sampled_tokens=len(sampled),
            mean_logprob=sum(generation.logprobs) / max(1, len(sampled)),
            policy_version=generation.policy_versions[-1] if sampled else self._engine.policy_version,
        )

    def _prompt(self, messages: tuple[Message, ...], tools: tuple[ToolSpec, ...]) -> _Prompt:
        """Decide what the request extends, longest first, and with which ids."""
        free = [held for held in self._held if held.index not in self._claimed]
        free.sort(key=lambda held: len(held.token_ids), reverse=True)
        agreeing = (held for held in free if held.tools == tools and starts_with(messages, held.messages))
        parent = next(agreeing, None)
        refused: ForkCause | None = None
        if parent is not None:
            new_messages = messages[len(parent.messages) :]
            refused = self._template_refuses(parent, new_messages)
            if refused is None:
                more = self._renderer.continuation_ids(parent.sampled_ids, new_messages, tools)
                kind: TurnKind = "clean" if parent.canonical else "realign"
                return _Prompt(token_ids=parent.token_ids + more, kind=kind, parent=parent)
        full = self._renderer.prompt_ids(messages, tools)
        for held in free:
            if full[: len(held.token_ids)] == held.token_ids:
                return _Prompt(token_ids=full, kind="clean", parent=held)
        if not self._held:
            return _Prompt(token_ids=full, kind="root")
        text = self._renderer.decode(full)
        for held in free:
            held_text = self._renderer.decode(held.token_ids)
            if text.startswith(held_text):
                more = self._renderer.encode(text[len(held_text) :])
                return _Prompt(token_ids=held.token_ids + more, kind="realign", parent=held)
        return _Prompt(token_ids=full, kind="fork", cause=refused or fork_cause(messages, tools, self._held))

    def _template_refuses(self, parent: Held, new_messages: Sequence[Message]) -> ForkCause | None:
        """Name what the template would do to the held text once ``new_messages`` follow, if it would not keep it."""
        for message in new_messages:
            following = self._renderer.template.following(message.role)
            if parent.has_reasoning and not following.keeps_reasoning:
                return "thinking_dropped"
            if not following.keeps_text:
                return "template_rewrites_history"
        return None

    def _room(self, token_ids: tuple[int, ...]) -> int:
        limit = self._engine.max_sequence_length
        room = min(self._sampling.max_tokens, limit - len(token_ids))
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

    def _release(self, parent: Held | None, index: int) -> None:
        """Undo a claim whose call failed; its number is used again unless a later call already has the next one."""
        if parent is not None:
            self._claimed.discard(parent.index)
        if index == self._num_calls - 1:
            self._num_calls -= 1
