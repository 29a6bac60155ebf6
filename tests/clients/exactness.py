"""Whether what was recorded is what the client saw and what the learner computes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from clients.serving import Recorded
from turnwright.core.message import Message
from turnwright.core.outcome import Rewarded
from turnwright.core.trajectory import Trajectory
from turnwright.gateway.dialects.malformed_calls import spell_call
from turnwright.launch.player import Player
from turnwright.models.forward import score_tokens
from turnwright.rollout.tokens import count_tokens, cut_rows

TOLERANCE = 1e-4
"""Between a recorded log-probability and a recomputed one, in fp32."""


def require_exact(player: Player, recorded: Recorded, seen: Sequence[Mapping[str, Any]]) -> None:
    """Check one linear episode with tools against what its client printed."""
    assert recorded.state == "rewarded"
    assert isinstance(recorded.outcome, Rewarded)
    trajectory = recorded.trajectory
    replies = [player.renderer.parse_reply(turn.sampled_token_ids, turn=turn.index) for turn in trajectory.turns]
    assert len(replies) >= 2
    assert any(reply.tool_calls for reply in replies)
    assert [_as_seen(reply) for reply in replies] == seen
    assert [turn.kind for turn in trajectory.turns] == ["root"] + ["clean"] * (len(replies) - 1)
    assert not any(turn.abandoned for turn in trajectory.turns)
    require_recomputed(player, trajectory)


def require_recomputed(player: Player, trajectory: Trajectory) -> None:
    """Check that every sampled token is trained exactly once, under the log-probability that the learner computes."""
    rows = cut_rows(trajectory)
    counts = count_tokens([trajectory], rows)
    assert counts.delivered_fraction == 1.0
    assert counts.fork == counts.abandoned == 0
    assert len(rows) == 1
    assert counts.sampled == counts.trained > 0
    with torch.no_grad():
        scores = score_tokens(
            player.policy,
            [row.token_ids for row in rows],
            [row.trained for row in rows],
            [row.temperature for row in rows],
        )
    recorded = torch.tensor(
        [q for row in rows for q, trained in zip(row.logprobs, row.trained, strict=True) if trained]
    )
    assert len(recorded) == counts.sampled
    assert (scores.logprobs - recorded).abs().max() <= TOLERANCE


def in_tokens(trajectory: Trajectory) -> list[tuple[Any, ...]]:
    """Return everything that makes two trajectories the same to the learner."""
    return [
        (turn.kind, turn.parent, turn.prompt_token_ids, turn.sampled_token_ids, turn.logprobs, turn.temperature)
        for turn in trajectory.turns
    ]


def _as_seen(reply: Message) -> dict[str, Any]:
    spelled = [spell_call(call) for call in reply.tool_calls]
    calls = [{"name": name, "arguments": json.loads(arguments)} for name, arguments in spelled]
    return {"content": reply.content, "tool_calls": calls}
