"""ScriptedEngine: answers from a script instead of a model. For tests, demos of the surface and dry runs."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import ContextOverflowError, EngineStoppedError
from turnwright.core.seeding import generator
from turnwright.inference.base import Generation, GenerationRequest, TokenListener

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Script = Callable[[GenerationRequest], str]
"""Text of the reply to one request, without the stop token."""

MOST_REQUESTS = 4096
"""Requests that are remembered."""


class ScriptedEngine:
    """Implements Engine; log-probabilities are made up, but the same for the same request and position.

    Example::

        engine = ScriptedEngine(tokenizer, ["<tool_call>...</tool_call>", "done"])
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        script: Sequence[str] | Script,
        *,
        max_sequence_length: int = 4096,
        policy_version: int = 0,
        delay_seconds: float = 0.0,
    ) -> None:
        """Take the script.

        Args:
            tokenizer: spells the script's texts in ids.
            script: one text per turn of every episode (a turn beyond them is an error), or a function of the request.
            max_sequence_length: most ids of prompt and reply together.
            policy_version: written on every id; assign the attribute to publish another.
            delay_seconds: how long each id takes.
        """
        self.policy_version = policy_version
        self.max_sequence_length = max_sequence_length
        self.requests: list[GenerationRequest] = []
        """The latest requests, in order."""
        self.open_episodes: set[EpisodeKey] = set()
        self._tokenizer = tokenizer
        self._script = script
        self._delay_seconds = delay_seconds

    def open_episode(self, key: EpisodeKey) -> None:
        """Announce an episode."""
        self.open_episodes.add(key)

    def close_episode(self, key: EpisodeKey) -> None:
        """Forget an episode; its requests in work end with EngineStoppedError."""
        self.open_episodes.discard(key)

    async def generate(self, request: GenerationRequest, on_tokens: TokenListener | None = None) -> Generation:
        """Answer with the script's text and a stop token, cut at ``max_tokens`` and where the request stops."""
        room = min(request.max_tokens, self.max_sequence_length - len(request.prompt_token_ids))
        if room < 1:
            raise ContextOverflowError(
                f"a prompt must leave room for a reply: got {len(request.prompt_token_ids)} ids, expected fewer than "
                f"{self.max_sequence_length} (episode {str(request.key)!r})"
            )
        self.requests.append(request)
        del self.requests[:-MOST_REQUESTS]
        script_ids = self._tokenizer.encode(self._text(request), add_special_tokens=False)
        sampled: list[int] = []
        versions: list[int] = []
        stopped, is_open = False, request.key in self.open_episodes
        for token in [*script_ids, *sorted(request.stop_token_ids)[:1]][:room]:
            if on_tokens is not None or self._delay_seconds > 0:
                await asyncio.sleep(self._delay_seconds)
            if is_open and request.key not in self.open_episodes:
                raise EngineStoppedError(f"episode {request.key} was closed")
            sampled.append(token)
            versions.append(self.policy_version)
            stopped = token in request.stop_token_ids or (request.stop_when is not None and request.stop_when(sampled))
            if on_tokens is not None:
                on_tokens((token,))
            if stopped:
                break
        noise = generator("scripted", request.sampling_key)
        return Generation(
            token_ids=tuple(sampled),
            logprobs=tuple(-noise.random() for _ in sampled),
            policy_versions=tuple(versions),
            kept_logmass=(0.0,) * len(sampled) if request.top_p < 1 else (),
            finish_reason="stop" if stopped else "length",
        )

    def _text(self, request: GenerationRequest) -> str:
        if callable(self._script):
            return self._script(request)
        if request.turn >= len(self._script):
            raise EngineStoppedError(
                f"the script has {len(self._script)} replies: turn {request.turn} of episode {str(request.key)!r} "
                "asks for one more; add a text or end the episode earlier"
            )
        return self._script[request.turn]
