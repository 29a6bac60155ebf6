"""The peer of bench/rollout.py: ``transformers.generate`` in lock step, behind the same Engine protocol as ours."""

import asyncio
import contextlib
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM

from turnwright.core.episode import EpisodeKey
from turnwright.inference.base import Generation, GenerationRequest, TokenListener


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A request that waits for the rest of its round."""

    request: GenerationRequest
    future: "asyncio.Future[Generation]"


class LockStepEngine:
    """Waits until every open episode has asked, then generates for all in one static, left-padded batch.

    The whole history is the prompt of each turn. Weights and sampling are the ones ours uses; the model is the stock
    one, with its sdpa attention and dynamic cache. Log-probabilities are not computed, which favours the peer.
    """

    def __init__(self, path: str, *, max_sequence_length: int, pad_token_id: int) -> None:
        """Load the stock model from a folder."""
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa").eval()
        self.policy_version = 0
        self.max_sequence_length = max_sequence_length
        self._pad = pad_token_id
        self._open: set[EpisodeKey] = set()
        self._waiting: dict[EpisodeKey, Waiting] = {}
        self._round: asyncio.Task[None] | None = None

    def open_episode(self, key: EpisodeKey) -> None:
        """Announce an episode; the next round waits for it."""
        self._open.add(key)

    def close_episode(self, key: EpisodeKey) -> None:
        """Forget an episode; the next round no longer waits for it."""
        self._open.discard(key)
        self._start()

    async def generate(self, request: GenerationRequest, on_tokens: TokenListener | None = None) -> Generation:
        """Wait for the round and return this request's part of it."""
        future: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
        self._waiting[request.key] = Waiting(request=request, future=future)
        self._start()
        generation = await future
        if on_tokens is not None:
            on_tokens(generation.token_ids)
        return generation

    async def close(self) -> None:
        """Let go of a round that runs."""
        if self._round is not None:
            self._round.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._round

    def _start(self) -> None:
        if self._waiting and self._open <= self._waiting.keys():
            batch = [self._waiting[key] for key in sorted(self._waiting, key=str)]
            self._waiting.clear()
            self._round = asyncio.create_task(self._answer(batch))

    async def _answer(self, batch: list[Waiting]) -> None:
        replies = await asyncio.to_thread(self._generate, [entry.request for entry in batch])
        for entry, reply in zip(batch, replies, strict=True):
            entry.future.set_result(reply)

    @torch.inference_mode()
    def _generate(self, requests: list[GenerationRequest]) -> list[Generation]:
        longest = max(len(request.prompt_token_ids) for request in requests)
        token_ids = torch.full((len(requests), longest), self._pad)
        mask = torch.zeros_like(token_ids)
        for row, request in enumerate(requests):
            token_ids[row, longest - len(request.prompt_token_ids) :] = torch.tensor(request.prompt_token_ids)
            mask[row, longest - len(request.prompt_token_ids) :] = 1
        stops = sorted(requests[0].stop_token_ids)
        torch.manual_seed(requests[0].sampling_key % 2**63)
        output = self.model.generate(
            input_ids=token_ids,
            attention_mask=mask,
            do_sample=True,
            temperature=requests[0].temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=max(request.max_tokens for request in requests),
            eos_token_id=stops,
            pad_token_id=self._pad,
        )
        return [_cut(row[longest:].tolist(), request) for row, request in zip(output, requests, strict=True)]


def _cut(token_ids: list[int], request: GenerationRequest) -> Generation:
    """Return a row of the batch up to its stop id or its own cap; what follows is padding."""
    ends = [position + 1 for position, token in enumerate(token_ids) if token in request.stop_token_ids]
    kept = tuple(token_ids[: min([*ends, len(token_ids), request.max_tokens])])
    return Generation(
        token_ids=kept,
        logprobs=(0.0,) * len(kept),
        policy_versions=(0,) * len(kept),
        finish_reason="stop" if kept[-1] in request.stop_token_ids else "length",
    )
