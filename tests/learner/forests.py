"""Rows that share prefixes in every way there is, and the loss and gradients that a stock model has on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor
from transformers import PreTrainedModel

from turnwright.models.forward import AskedRow, TokenScores
from turnwright.models.load import Policy
from turnwright.models.tree import order_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedOf:
    """A row with what is asked of it and what its loss needs."""

    token_ids: tuple[int, ...]
    wanted: tuple[bool, ...]
    temperatures: tuple[float, ...]
    advantage: float
    sampled_logprob: float

    @property
    def num_wanted(self) -> int:
        return sum(self.wanted)


def asked_of(
    *token_ids: int, wanted: Sequence[int], advantage: float = 1.0, sampled: float = -4.0, heat: float = 1.0
) -> AskedOf:
    return AskedOf(
        token_ids=token_ids,
        wanted=tuple(position in wanted for position in range(len(token_ids))),
        temperatures=(heat,) * len(token_ids),
        advantage=advantage,
        sampled_logprob=sampled,
    )


DIVERGENT_FIRST_TOKEN = [asked_of(1, 2, 3, wanted=[2]), asked_of(4, 2, 3, wanted=[1, 2], advantage=-1.0)]
ONE_A_PREFIX_OF_ANOTHER = [asked_of(1, 2, 3, wanted=[1, 2]), asked_of(1, 2, 3, 4, 5, wanted=[2, 4], advantage=-2.0)]
IDENTICAL_LEAVES = [asked_of(1, 2, 3, wanted=[2], advantage=one, sampled=one - 4) for one in (2.0, -0.5, -1.0)]
OTHER_MASKS = [asked_of(1, 2, 3, 4, wanted=[1, 3]), asked_of(1, 2, 3, 5, wanted=[2, 3], advantage=-1.5)]
OTHER_TEMPERATURES = [asked_of(1, 2, 3, wanted=[1, 2], heat=0.7), asked_of(1, 2, 3, 4, wanted=[1, 2], heat=1.5)]


def nested_rows() -> list[AskedOf]:
    """16 rows that part at three depths: 20 tokens, then 4 x 10, then 16 x 8: 188 in all."""
    return [
        asked_of(
            *(one % 61 for one in range(1, 21)),
            *(outer + one for one in range(1, 11)),
            *((outer + 7 * inner + 3 * one) % 61 for one in range(1, 9)),
            wanted=[5, 25, 31, 37],
            advantage=outer - inner,
        )
        for outer in (11, 21, 31, 41)
        for inner in range(4)
    ]


@st.composite
def forests(draw: st.DrawFn) -> list[AskedOf]:
    """Rows over few ids, so that they part anywhere: at the first token, within each other's replies, or never."""
    stems = draw(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7), min_size=1, max_size=3))
    rows: list[AskedOf] = []
    for _ in range(draw(st.integers(1, 6))):
        own = draw(st.lists(st.integers(0, 2), min_size=1, max_size=6))
        ids = tuple(19 * one + 3 for one in (*draw(st.sampled_from(stems)), *own))
        flags = draw(st.lists(st.booleans(), min_size=len(ids) - 1, max_size=len(ids) - 1))
        if not any(flags):
            flags[-1] = True
        rows.append(
            AskedOf(
                token_ids=ids,
                wanted=(False, *flags),
                temperatures=tuple(draw(st.sampled_from((0.7, 1.0, 1.5))) for _ in ids),
                advantage=draw(st.floats(-2, 2)),
                sampled_logprob=draw(st.floats(-5, -3)),
            )
        )
    return rows


def in_order(rows: Sequence[AskedOf]) -> tuple[list[AskedOf], list[AskedRow], tuple[int, ...]]:
    """Return rows in the order of their tree, as they are asked, and what each shares with the one before it."""
    order = order_rows([row.token_ids for row in rows], ["one group"] * len(rows))
    ordered = [rows[index] for index in order.rows]
    asked = [AskedRow.of(row.token_ids, row.wanted, row.temperatures) for row in ordered]
    return ordered, asked, order.shared


def loss_of(rows: Sequence[AskedOf], scores: TokenScores) -> Tensor:
    """Clipped ratios to each row's own sampler, a sequence ratio, a divergence and an entropy bonus."""
    device = scores.logprobs.device
    counts = torch.tensor([row.num_wanted for row in rows], device=device)
    sampled = torch.tensor([row.sampled_logprob for row in rows], device=device).repeat_interleave(counts)
    of_rows = torch.tensor([row.advantage for row in rows], device=device)
    advantages = of_rows.repeat_interleave(counts)
    gap = scores.logprobs - sampled
    ratio = (0.1 * gap).exp()
    clipped = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    sequences = torch.stack([part.mean().mul(0.1).exp() for part in gap.split(counts.tolist())])
    whole = (sequences * of_rows).sum()
    return -clipped.sum() - whole + 0.05 * 0.5 * gap.square().sum() - 0.1 * scores.entropy.sum()


def stock_scores(model: PreTrainedModel, row: AskedOf) -> TokenScores:
    """Score one row by a plain forward pass over the whole of it."""
    token_ids = torch.tensor([row.token_ids], device=model.device)
    logits = model(input_ids=token_ids, use_cache=False).logits[0]
    positions = [position for position, flag in enumerate(row.wanted) if flag]
    scale = torch.tensor([[row.temperatures[position]] for position in positions], device=model.device)
    logprobs = (logits[[position - 1 for position in positions]] / scale).log_softmax(-1)
    return TokenScores(
        logprobs=logprobs.gather(1, token_ids[0, positions, None])[:, 0],
        entropy=-(logprobs.exp() * logprobs).sum(-1),
    )


def gradients_of(parameters: Callable[[], Sequence[tuple[str, torch.nn.Parameter]]]) -> dict[str, Tensor]:
    """Return a copy of all gradients there are, and clear them."""
    found = {name: tensor.grad.clone() for name, tensor in parameters() if tensor.grad is not None}
    for _, tensor in parameters():
        tensor.grad = None
    return found


def stock_loss_and_gradients(model: PreTrainedModel, rows: Sequence[AskedOf]) -> tuple[float, dict[str, Tensor]]:
    """Return what row-by-row passes of the stock model give."""
    total = sum(loss_of([row], stock_scores(model, row)) for row in rows)
    total.backward()
    return total.item(), gradients_of(lambda: list(model.named_parameters()))


def trained(policy: Policy) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, tensor) for name, tensor in policy.model.named_parameters() if tensor.requires_grad]


def errors_of(found: dict[str, Tensor], expected: dict[str, Tensor], *, floor: float = 0.05) -> dict[str, float]:
    """Return each gradient's largest error, as a share of its largest entry, or of ``floor`` x the largest of all.

    What a small gradient is made of may have cancelled: rounding is as large as what cancels, not as what is left.
    """
    assert found.keys() == expected.keys()
    least = floor * max(tensor.abs().max().item() for tensor in expected.values())
    return {
        name: (found[name] - tensor).abs().max().item() / max(tensor.abs().max().item(), least)
        for name, tensor in expected.items()
    }


def require_equal(found: dict[str, Tensor], expected: dict[str, Tensor], *, limit: float = 1e-5) -> None:
    """Hold every gradient's error, as ``errors_of`` has it, within ``limit``."""
    name, error = max(errors_of(found, expected).items(), key=lambda entry: entry[1])
    assert error <= limit, f"{name}: {error:.2g}"
