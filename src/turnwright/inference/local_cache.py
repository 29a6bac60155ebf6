"""KV of the local engine: preallocated slots for episodes, shared prefixes once.

A sequence is a *prefix* (system text and tools, the same for many episodes, computed once) followed by the tokens of
its slot. Attention joins both parts in one softmax, so that the prefix is read once per pass instead of once per row:
on a CPU, decoding is bound by reading KV, and the prefix is most of it.

Legend: B rows of the pass, S tokens per row, K key-value heads, G query heads per key-value head, P prefix tokens,
T slot positions, D head width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from turnwright.models.attention import PrefixView
from turnwright.models.load import Policy


@dataclass(slots=True, kw_only=True)
class SlotCache:
    """Preallocated keys and values: per layer [slots, K, T + 1, D]; the last position takes writes of padding."""

    keys: list[Tensor]
    values: list[Tensor]
    num_positions: int

    @classmethod
    def allocate(cls, policy: Policy, num_slots: int, num_positions: int) -> "SlotCache":
        """Allocate zeroed KV for ``num_slots`` sequences of ``num_positions`` tokens."""
        config = policy.model.config
        heads, width = key_value_shape(policy)
        shape = (num_slots, heads, num_positions + 1, width)
        zeros = [
            torch.zeros(shape, dtype=policy.model.dtype, device=policy.device)
            for _ in range(2 * config.num_hidden_layers)
        ]
        return cls(keys=zeros[::2], values=zeros[1::2], num_positions=num_positions)

    def copy(self, source: int, target: int, start: int, stop: int) -> None:
        """Copy positions of one slot to another: attempts with the same history share what it costs to feed."""
        for tensors in (self.keys, self.values):
            for layer in tensors:
                layer[target, :, start:stop] = layer[source, :, start:stop]


def key_value_shape(policy: Policy) -> tuple[int, int]:
    """Return (key-value heads, head width) of a model."""
    config = policy.model.config
    heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    return heads, width


def bytes_per_token(policy: Policy) -> int:
    """Return the KV bytes of one token over all layers."""
    heads, width = key_value_shape(policy)
    return 2 * policy.model.config.num_hidden_layers * heads * width * policy.model.dtype.itemsize


@dataclass(slots=True, kw_only=True)
class SlotView:
    """One pass over rows of unequal length: row b appends S tokens to its slot and attends to prefix and slot."""

    cache: SlotCache
    slots: Tensor
    """[B] slot of each row."""
    lengths: Tensor
    """[B] tokens already in each slot."""
    num_new: Tensor
    """[B] tokens of this pass that are real; the rest is right padding."""
    prefixes: Sequence[tuple[PrefixView, Tensor]]
    """Each prefix in use with the rows [b] behind it; rows in no entry have no prefix."""
    num_tokens: int
    write_positions: Tensor = field(init=False)
    mask: Tensor = field(init=False)
    """[B, 1, S, T] in fp32: 0 where a token sees a slot position, -inf elsewhere."""
    num_visible: int = field(init=False)
    gathered: tuple[Tensor, Tensor] = field(init=False)
    """Keys and values [B, K, T, D] of the rows' slots in one layer; one room for all layers of the pass."""

    def __post_init__(self) -> None:
        """Compute what all layers share: where tokens are written and what they may see."""
        offsets = torch.arange(self.num_tokens, device=self.lengths.device)
        own = self.lengths[:, None] + offsets
        self.write_positions = torch.where(offsets < self.num_new[:, None], own, self.cache.num_positions)
        self.num_visible = int((self.lengths + self.num_new).max())
        visible = torch.arange(self.num_visible, device=self.lengths.device)
        mask = torch.zeros(len(self.slots), 1, self.num_tokens, self.num_visible, device=self.lengths.device)
        self.mask = mask.masked_fill_((visible > own[..., None])[:, None], float("-inf"))
        cached = self.cache.keys[0]
        shape = (len(self.slots), cached.shape[1], self.num_visible, cached.shape[3])
        self.gathered = (cached.new_empty(shape), cached.new_empty(shape))

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Write the pass's keys and values into the slots; return the mixed values [B, S, H, D]."""
        keys, values = self.gathered
        # Small matrices far apart in memory are slow to multiply and fast to copy, so all slots are gathered first.
        for cached, new, gathered in (
            (self.cache.keys[layer], key, keys),
            (self.cache.values[layer], value, values),
        ):
            cached[self.slots[:, None], :, self.write_positions] = new.transpose(1, 2)
            torch.index_select(cached[:, :, : self.num_visible], 0, self.slots, out=gathered)
        attend_behind = _attend_one if self.num_tokens == 1 else _attend_many
        if len(self.prefixes) == 1 and len(self.prefixes[0][1]) == len(self.slots):
            return attend_behind(query * scaling, keys, values, self.mask, self.prefixes[0][0], layer)
        mixed = attend_behind(query * scaling, keys, values, self.mask, None, layer)
        for prefix, members in self.prefixes:
            mixed[members] = attend_behind(
                query[members] * scaling, keys[members], values[members], self.mask[members], prefix, layer
            )
        return mixed


def _attend_one(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, prefix: PrefixView | None, layer: int
) -> Tensor:
    """One token per row: one softmax over prefix and own scores, the prefix's part one matrix product for all rows."""
    num_rows, num_heads, _, width = query.shape
    num_kv = keys.shape[1]
    # [B, K, G, D]: the query heads that share a key-value head form one matrix.
    stacked = query.reshape(num_rows, num_kv, -1, width)
    own = stacked @ keys.transpose(2, 3) + mask.to(keys.dtype)
    if prefix is None:
        mixed = own.softmax(-1, dtype=torch.float32).to(values.dtype) @ values
        return mixed.reshape(num_rows, 1, num_heads, width)
    prefix_keys, prefix_values = prefix.keys[layer][0], prefix.values[layer][0]
    num_shared = prefix_keys.shape[1]
    flat = stacked.transpose(0, 1).reshape(num_kv, -1, width)
    shared = (flat @ prefix_keys.transpose(1, 2)).view(num_kv, num_rows, -1, num_shared).transpose(0, 1)
    weights = torch.cat([shared, own], dim=-1).softmax(-1, dtype=torch.float32).to(values.dtype)
    flat = weights[..., :num_shared].transpose(0, 1).reshape(num_kv, -1, num_shared)
    mixed = (flat @ prefix_values).view(num_kv, num_rows, -1, width).transpose(0, 1)
    return (mixed + weights[..., num_shared:] @ values).reshape(num_rows, 1, num_heads, width)


def _attend_many(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, prefix: PrefixView | None, layer: int
) -> Tensor:
    """Several tokens per row: the fused kernel over copies of the prefix, which never holds the scores of a pass."""
    if prefix is not None:
        num_rows, num_shared = len(query), prefix.length
        keys = torch.cat([prefix.keys[layer].expand(num_rows, -1, -1, -1), keys], dim=2)
        values = torch.cat([prefix.values[layer].expand(num_rows, -1, -1, -1), values], dim=2)
        mask = pad(mask, (num_shared, 0))
    mixed = scaled_dot_product_attention(
        query, keys, values, attn_mask=mask.to(query.dtype), scale=1.0, enable_gqa=query.shape[1] != keys.shape[1]
    )
    return mixed.transpose(1, 2)
