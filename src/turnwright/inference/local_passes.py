"""The passes of the local engine: what runs on its worker thread.

    advance(rows, lanes): prefixes computed once -> extend (equal starts copied, the rest fed) -> decode until one ends

Rows are lanes with a request in work. Their ids waiting to be fed but for the last are *extended* in batches; a row
with one id left *decodes* with all others. A pass changes what lanes and requests hold and nothing else, so the event
loop may go on scheduling meanwhile; one call runs at a time.
"""

import time
from collections.abc import Sequence

import torch

from turnwright.inference.local_cache import SlotCache, SlotView
from turnwright.inference.local_sampling import draw_tokens, uniforms
from turnwright.inference.local_sequences import (
    EngineCounters,
    Lane,
    active_of,
    by_group,
    longest_start,
    share_histories,
)
from turnwright.models.attention import PrefixView
from turnwright.models.load import Policy

MOST_PREFIXES = 8
EXTENSION_TOKENS = 4096
"""Padded ids fed in one extending pass: bounds memory, and the time a decode step can be kept waiting."""
EXTENSION_SHARE = 0.25
"""Extend when this share of the requests waits for it: an extra pass for one row would hold up all the others."""
STEPS_PER_HOP = 16
"""Decode steps at most before new requests are looked at."""
STEPS_WHILE_HEARD = 4
"""The same while somebody listens: ids reach a listener once per hop."""


class Passes:
    """Feeds and samples lanes by one policy; see the module docstring."""

    def __init__(self, policy: Policy, cache: SlotCache, counters: EngineCounters) -> None:
        """Start with nothing computed.

        Args:
            policy: The model; its tensors are read as they are at each pass.
            cache: The slots that lanes name.
            counters: Where the work is counted.
        """
        self.policy_version = 0
        """Written on every id sampled from now on."""
        self._policy = policy
        self._cache = cache
        self._counters = counters
        self._prefixes: dict[tuple[int, ...], PrefixView] = {}

    def publish(self, version: int) -> None:
        """Sample as ``version`` from the next pass on; shared prefixes are computed again."""
        self.policy_version = version
        self._prefixes.clear()

    @torch.inference_mode()
    def advance(self, rows: Sequence[Lane], lanes: Sequence[Lane]) -> list[Lane]:
        """Extend what waits for it, then decode until a reply ends.

        Args:
            rows: The lanes with a request in work.
            lanes: All lanes, whose prefixes stay and whose histories may be copied.

        Returns:
            The lanes whose reply ended or failed.
        """
        started = time.perf_counter()
        for lane in rows:
            self._ensure_prefix(lane.prefix_ids, lanes)
        extending = [lane for lane in rows if len(active_of(lane).pending) > 1]
        if len(extending) >= max(1, int(EXTENSION_SHARE * len(rows))):
            self._extend(extending, lanes)
        ready = [lane for lane in rows if len(active_of(lane).pending) == 1]
        heard = any(active_of(lane).on_tokens is not None for lane in ready)
        finished: list[Lane] = []
        steps = 0
        while ready and not finished and steps < (STEPS_WHILE_HEARD if heard else STEPS_PER_HOP):
            finished = self._decode(ready)
            steps += 1
        self._counters.busy_seconds += time.perf_counter() - started
        return finished

    def _ensure_prefix(self, prefix_ids: tuple[int, ...], lanes: Sequence[Lane]) -> None:
        if not prefix_ids or prefix_ids in self._prefixes:
            return
        in_use = {lane.prefix_ids for lane in lanes}
        for old in [ids for ids in self._prefixes if ids not in in_use][: len(self._prefixes) + 1 - MOST_PREFIXES]:
            del self._prefixes[old]
        view = PrefixView()
        ids = torch.tensor([prefix_ids], device=self._policy.device)
        self._policy.hidden_states(ids, torch.arange(len(prefix_ids), device=self._policy.device)[None], view)
        self._prefixes[prefix_ids] = view
        self._counters.prefill_tokens += len(prefix_ids)

    def _extend(self, rows: Sequence[Lane], lanes: Sequence[Lane]) -> None:
        """Feed all pending ids but the last of each row; what another lane of the group holds is copied instead."""
        groups = by_group(lanes)
        followers = share_histories(rows, groups)
        leaders = [lane for lane in rows if lane not in followers]
        for lane in leaders:
            found = longest_start(lane, groups.get(lane.group, ()))
            if found is not None:
                self._copy_history(*found, lane)
        self._feed(leaders)
        for follower, leader in followers.items():
            self._copy_history(leader, len(follower.resident) + len(active_of(follower).pending) - 1, follower)

    def _feed(self, rows: Sequence[Lane]) -> None:
        # Longest first, so that little of a pass is padding.
        rows = sorted(rows, key=lambda lane: -len(active_of(lane).pending))
        while rows := [lane for lane in rows if len(active_of(lane).pending) > 1]:
            longest = min(len(active_of(rows[0]).pending) - 1, EXTENSION_TOKENS)
            batch = rows[: max(1, EXTENSION_TOKENS // longest)]
            chunks = [active_of(lane).pending[:-1][:longest] for lane in batch]
            self._forward(batch, chunks)
            for lane, chunk in zip(batch, chunks, strict=True):
                lane.resident.extend(chunk)
                del active_of(lane).pending[: len(chunk)]
            self._counters.prefill_tokens += sum(map(len, chunks))
            self._counters.extend_passes += 1

    def _copy_history(self, source: Lane, length: int, target: Lane) -> None:
        """Take the first ``length`` ids behind the prefix from another lane instead of feeding them."""
        pending = active_of(target).pending
        start = len(target.resident)
        target.resident.extend(pending[: length - start])
        del pending[: length - start]
        self._cache.copy(source.slot, target.slot, start, length)
        self._counters.shared_tokens += length - start

    def _decode(self, rows: Sequence[Lane]) -> list[Lane]:
        """Feed one id per row and sample the next; return the rows whose reply ended or failed."""
        logits = self._forward(rows, [active_of(lane).pending for lane in rows], sample=True)
        actives = [active_of(lane) for lane in rows]
        draw = draw_tokens(
            logits,
            [active.request.temperature for active in actives],
            [active.request.top_p for active in actives],
            uniforms([active.request.sampling_key for active in actives], [len(a.token_ids) for a in actives]),
        )
        finished: list[Lane] = []
        for lane, active, token, logprob, kept in zip(
            rows, actives, draw.token_ids, draw.logprobs, draw.kept_logmass, strict=True
        ):
            lane.resident.extend(active.pending)
            active.add(token, logprob=logprob, version=self.policy_version, kept_logmass=kept)
            room = self._cache.num_positions - len(active.request.prompt_token_ids)
            ended = active.stopped or len(active.token_ids) >= min(active.request.max_tokens, room)
            if ended or active.failure is not None:
                finished.append(lane)
        self._counters.sampled_tokens += len(rows)
        self._counters.decode_passes += 1
        return finished

    def _forward(self, rows: Sequence[Lane], chunks: Sequence[list[int]], *, sample: bool = False) -> torch.Tensor:
        """Run one pass over the rows' chunks; return logits [B, V] after each row's last id when sampling."""
        width = max(map(len, chunks))
        behind: dict[tuple[int, ...], list[int]] = {}
        for row, lane in enumerate(rows):
            if lane.prefix_ids:
                behind.setdefault(lane.prefix_ids, []).append(row)
        lengths = torch.tensor([len(lane.resident) for lane in rows])
        prefix_lengths = torch.tensor([len(lane.prefix_ids) for lane in rows])
        positions = (prefix_lengths + lengths)[:, None] + torch.arange(width)
        device = self._policy.device
        view = SlotView(
            cache=self._cache,
            slots=torch.tensor([lane.slot for lane in rows], device=device),
            lengths=lengths.to(device),
            num_new=torch.tensor([len(chunk) for chunk in chunks], device=device),
            prefixes=[(self._prefixes[ids], torch.tensor(m, device=device)) for ids, m in behind.items()],
            num_tokens=width,
        )
        token_ids = torch.tensor([chunk + [0] * (width - len(chunk)) for chunk in chunks], device=device)
        states = self._policy.hidden_states(token_ids, positions.to(device), view)
        return self._policy.logits(states[:, 0]) if sample else states
