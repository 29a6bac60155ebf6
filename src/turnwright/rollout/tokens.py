"""Tokens: turns of a trajectory in, training rows out.

The recorder already decided which turn each one extends; this module reads that tree, checks that it is true, and
cuts it into the fewest rows that hold every sampled token: one per turn that nothing extends. A token shared by
several rows is trained in the first of them and context in the others.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnwright.core.errors import AlignmentError, TrainingError
from turnwright.core.trajectory import Row, SampledTurn, Trajectory, hash_ids


def cut_rows(trajectory: Trajectory) -> tuple[Row, ...]:
    """Return the rows that train every sampled token of ``trajectory`` exactly once, abandoned ones excepted.

    Raises:
        AlignmentError: a turn's prompt is not what was hashed when it was sampled, or does not start with the ids of
            the turn it claims to extend.
        TrainingError: a turn was sampled greedily.
    """
    turns = {turn.index: turn for turn in trajectory.turns}
    if len(turns) != len(trajectory.turns):
        raise AlignmentError(
            f"turn numbers must be unique: got {[t.index for t in trajectory.turns]} ({_at(trajectory)})"
        )
    for turn in trajectory.turns:
        _check(turn, turns, trajectory)
    wanted = _with_trained_descendants(turns)
    extended = {turns[index].parent for index in wanted}
    rows: list[Row] = []
    trained: set[int] = set()
    for index in sorted(wanted - extended):
        chain = _chain(turns, index)
        rows.append(_row(trajectory, chain, trained))
        trained.update(turn.index for turn in chain)
    return tuple(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Where the sampled tokens of some trajectories went.

    Example: two clean turns of 3 and 4 tokens make one row: sampled 7, trained 7, abandoned 0, datums 1.
    """

    trajectories: int
    datums: int
    """Rows."""
    sampled: int
    trained: int
    abandoned: int
    clean: int
    realign: int
    fork: int
    fork_causes: Mapping[str, int]

    @property
    def delivered_fraction(self) -> float:
        """Trained of all tokens that had to be trained; anything but 1.0 is a bug."""
        due = self.sampled - self.abandoned
        return self.trained / due if due else 1.0

    @property
    def datums_per_trajectory(self) -> float:
        """1.0 = every trajectory merged into one row."""
        return self.datums / self.trajectories if self.trajectories else 0.0


def count_tokens(trajectories: Sequence[Trajectory], rows: Sequence[Row]) -> TokenCounts:
    """Count over the trajectories that were meant to be trained (no failed attempts) and the rows they became."""
    turns = [turn for trajectory in trajectories for turn in trajectory.turns]
    kinds = Counter(turn.kind for turn in turns)
    return TokenCounts(
        trajectories=len(trajectories),
        datums=len(rows),
        sampled=sum(len(turn.sampled_token_ids) for turn in turns),
        trained=sum(row.num_trained_tokens for row in rows),
        abandoned=sum(len(turn.sampled_token_ids) for turn in turns if turn.abandoned),
        clean=kinds["clean"],
        realign=kinds["realign"],
        fork=kinds["fork"],
        fork_causes=dict(Counter(turn.cause for turn in turns if turn.kind == "fork")),
    )


def _check(turn: SampledTurn, turns: Mapping[int, SampledTurn], trajectory: Trajectory) -> None:
    actual = hash_ids(turn.prompt_token_ids)
    if actual != turn.prefix_hash:
        raise AlignmentError(
            f"prompt ids must be those the reply was sampled under: got hash {actual}, expected {turn.prefix_hash} "
            f"({_at(trajectory, turn)}); something changed the ids after the request"
        )
    if turn.temperature <= 0 and not turn.abandoned:
        raise TrainingError(
            f"a trained turn must be sampled: got temperature {turn.temperature:g}, expected above 0 "
            f"({_at(trajectory, turn)}); set temperature = 1.0 for training, greedy decoding is for evaluation"
        )
    if turn.parent is None:
        return
    parent = turns.get(turn.parent)
    if parent is None or parent.index >= turn.index:
        raise AlignmentError(
            f"a turn must extend an earlier one: got parent {turn.parent}, expected one of "
            f"{sorted(index for index in turns if index < turn.index)} ({_at(trajectory, turn)})"
        )
    held = parent.prompt_token_ids + parent.sampled_token_ids
    if turn.prompt_token_ids[: len(held)] != held:
        raise AlignmentError(
            f"a prompt must start with all {len(held)} ids of turn {parent.index} which it extends: it does not "
            f"({_at(trajectory, turn)}); sampled ids were tokenised again or the parent is wrong"
        )


def _with_trained_descendants(turns: Mapping[int, SampledTurn]) -> set[int]:
    """Return the turns that some row needs: not abandoned, or extended by one that is not."""
    wanted: set[int] = set()
    for index in sorted(turns, reverse=True):
        turn = turns[index]
        if index in wanted or (turn.sampled_token_ids and not turn.abandoned):
            wanted.add(index)
            if turn.parent is not None:
                wanted.add(turn.parent)
    return wanted


def _chain(turns: Mapping[int, SampledTurn], index: int) -> list[SampledTurn]:
    chain = [turns[index]]
    while chain[-1].parent is not None:
        chain.append(turns[chain[-1].parent])
    return chain[::-1]


def _row(trajectory: Trajectory, chain: Sequence[SampledTurn], trained_before: set[int]) -> Row:
    last = chain[-1]
    token_ids = last.prompt_token_ids + last.sampled_token_ids
    length = len(token_ids)
    trained, logprobs, turn_index = [False] * length, [0.0] * length, [-1] * length
    policy_versions, temperature = [-1] * length, [1.0] * length
    for turn in chain:
        if turn.abandoned or turn.index in trained_before:
            continue
        start = len(turn.prompt_token_ids)
        span, count = slice(start, start + len(turn.sampled_token_ids)), len(turn.sampled_token_ids)
        trained[span] = [True] * count
        logprobs[span] = _full_logprobs(turn)
        turn_index[span] = [turn.index] * count
        policy_versions[span] = turn.policy_versions
        temperature[span] = [turn.temperature] * count
    return Row(
        key=trajectory.key,
        token_ids=token_ids,
        trained=tuple(trained),
        logprobs=tuple(logprobs),
        turn_index=tuple(turn_index),
        policy_versions=tuple(policy_versions),
        temperature=tuple(temperature),
    )


def _full_logprobs(turn: SampledTurn) -> tuple[float, ...]:
    """Return log q over the whole vocabulary, which is what a learner without the top-p set can compare log p with.

    With top_p < 1 the engine renormalises over the kept set. Adding the set's recorded log-mass to log q is as good
    as renormalising log p by it: (log p - mass) - log q = log p - (log q + mass).
    """
    if not turn.kept_logmass:
        return turn.logprobs
    return tuple(logprob + kept for logprob, kept in zip(turn.logprobs, turn.kept_logmass, strict=True))


def _at(trajectory: Trajectory, turn: SampledTurn | None = None) -> str:
    return f"episode {str(trajectory.key)!r}" + (f", turn {turn.index}" if turn else "")
