"""Small attempts written by hand."""

from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.group import Attempt
from turnwright.core.message import Message
from turnwright.core.outcome import Rewarded
from turnwright.core.task import Task
from turnwright.core.trajectory import SampledTurn, Trajectory, hash_ids


def make_attempt(task: str = "t1", number: int = 0, *, reward: float = 1.0, calls: int = 1) -> Attempt:
    key = EpisodeKey(task_id=task, attempt=number)
    sampled = tuple(
        SampledTurn(
            index=index,
            parent=index - 1 if index else None,
            kind="clean" if index else "root",
            prompt_token_ids=(1, 2),
            sampled_token_ids=(3, 4),
            logprobs=(-0.1, -0.7),
            policy_versions=(0, 1),
            temperature=1.0,
            top_p=1.0,
            prefix_hash=hash_ids((1, 2)),
        )
        for index in range(calls)
    )
    episode = Episode(
        key=key,
        task=Task(id=task, prompt="order: O3"),
        opening=(Message(role="user", content="order: O3"),),
        turns=tuple(Turn(reply=Message(role="assistant", content="refund")) for _ in sampled),
        outcome=Rewarded(value=reward),
    )
    return Attempt(episode=episode, trajectory=Trajectory(key=key, turns=sampled))
