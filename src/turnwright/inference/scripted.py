"""ScriptedEngine: answers from a script instead of a model. For tests, demos of the surface and dry runs."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import ContextOverflowError, EngineStoppedError
from turnwright.core.seeding import generator
from turnwright.inference.base import Generation, GenerationRequest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Script = Callable[[GenerationRequest], str]
"""Text of the reply to one request, without the stop token."""


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
    ) -> None:
        """Take the script.

        Args:
            tokenizer: spells the script's texts in ids.
            script: one text per turn of every episode (a turn beyond them is an error), or a function of the request.
            max_sequence_length: most ids of prompt and reply together.
            policy_version: written on every id; assign the attribute to publish another.
        """
        self.policy_version = policy_version
        self.max_sequence_length = max_sequence_length
        self.requests: list[GenerationRequest] = []
        """Every request so far, in order."""
        self.open_episodes: set[EpisodeKey] = set()
        self._tokenizer = tokenizer
        self._script = script

    def open_episode(self, key: EpisodeKey) -> None:
        """Announce an episode."""
        self.open_episodes.add(key)

    def close_episode(self, key: EpisodeKey) -> None:
        """Forget an episode."""
        self.open_episodes.discard(key)

    async def generate(self, request: GenerationRequest) -> Generation:
        """Answer with the script's text and a stop token, cut at ``max_tokens``."""
        room = min(request.max_tokens, self.max_sequence_length - len(request.prompt_token_ids))
        if room < 1:
            raise ContextOverflowError(
                f"a prompt must leave room for a reply: got {len(request.prompt_token_ids)} ids, expected fewer than "
                f"{self.max_sequence_length} (episode {str(request.key)!r})"
            )
        self.requests.append(request)
        ids = self._tokenizer.encode(self._text(request), add_special_tokens=False)
        ids = (ids + sorted(request.stop_token_ids)[:1])[:room]
        stopped = bool(ids) and ids[-1] in request.stop_token_ids
        noise = generator("scripted", request.sampling_key)
        return Generation(
            token_ids=tuple(ids),
            logprobs=tuple(-noise.random() for _ in ids),
            policy_versions=(self.policy_version,) * len(ids),
            kept_logmass=(0.0,) * len(ids) if request.top_p < 1 else (),
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
