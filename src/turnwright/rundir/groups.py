"""Open groups on disk: one file each, from the group's admission to the line in batches.jsonl that closes its step.

    first line       the group as it was dealt, and when
    every other      one ended attempt, in messages and in tokens together: a torn line is one lost attempt

A prompt that goes on from its parent's turn is written without what that turn held, so a line grows with the length of
the conversation and not with its square.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.errors import AlignmentError, RunDirectoryError
from turnwright.core.group import Attempt
from turnwright.core.trajectory import SampledTurn, Trajectory
from turnwright.rundir.files import LineLog, sync, write_line
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.records import BatchGroup, to_line
from turnwright.rundir.space import recording


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLine:
    """First line of a file."""

    group: BatchGroup
    opened: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLine:
    """Every other line."""

    episode: Episode
    trajectory: Trajectory
    """Each prompt without the ids that it takes from its parent."""
    inherited: tuple[int, ...]
    """Per turn: how many ids those are, either all that the parent's turn held or none."""


_GROUP = TypeAdapter(GroupLine)
_ATTEMPT = TypeAdapter(AttemptLine)


class GroupFiles:
    """The files of a run's open groups, for the one process that writes them.

    None stays open between two lines: a run has more groups at once than a process may have files.
    """

    def __init__(self, layout: RunLayout) -> None:
        """Nothing is read or made yet."""
        self._layout = layout
        self._unsynced: set[int] = set()

    def open(self, group: BatchGroup) -> None:
        """Record that a group was dealt; raises RunDirectoryError when there is one of its number."""
        path = self._layout.group(group.number)
        if path.exists():
            raise RunDirectoryError(
                f"group {group.number} is open already ('{path}'): every group of a run has its own number; restore "
                "what the run has left before new groups are dealt"
            )
        path.parent.mkdir(exist_ok=True)
        line = to_line(GroupLine(group=group, opened=time.time()), f"group {group.number}")
        self._append(group.number, line, os.O_CREAT)

    def append(self, number: int, attempt: Attempt) -> None:
        """Record an ended attempt; it survives a crash of this process from here on."""
        try:
            self._append(number, encode_attempt(attempt))
        except FileNotFoundError:
            raise RunDirectoryError(
                f"attempt '{attempt.episode.key}' came too late: group {number} is not open any more; an attempt must "
                "end before its group's step is closed"
            ) from None

    def require(self, numbers: Iterable[int]) -> None:
        """Raise RunDirectoryError for a group that is not open."""
        for number in numbers:
            if not self._layout.group(number).exists():
                raise RunDirectoryError(
                    f"group {number} of run '{self._layout.root}' is not open: a group belongs to one step, and is "
                    "opened before its first attempt"
                )

    def sync(self) -> None:
        """Hand everything to the disk: it survives a crash of the machine."""
        unsynced, self._unsynced = self._unsynced, set()
        for path in map(self._layout.group, sorted(unsynced)):
            if path.exists():
                sync(path)

    def remove(self, numbers: Iterable[int]) -> None:
        """Delete the files of groups whose attempts are elsewhere."""
        for number in numbers:
            self._layout.group(number).unlink(missing_ok=True)

    def mend(self) -> None:
        """Cut off the torn last lines that a crash left, and remove files without a whole line."""
        for path in self._layout.groups.glob("[0-9]*.jsonl"):
            LineLog(path).close()
            if not path.stat().st_size:
                path.unlink()

    def _append(self, number: int, line: bytes, flags: int = 0) -> None:
        path = self._layout.group(number)
        with recording(path):
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | flags, 0o644)
            with os.fdopen(handle, "ab", buffering=0) as file:
                write_line(file, line, size=os.fstat(handle).st_size)
        self._unsynced.add(number)


def encode_attempt(attempt: Attempt) -> bytes:
    """Return an ended attempt as a line.

    Raises:
        DatasetError: Its episode holds something that JSON cannot say.
    """
    before: dict[int, SampledTurn] = {}
    turns: list[SampledTurn] = []
    inherited: list[int] = []
    for turn in attempt.trajectory.turns:
        parent = None if turn.parent is None else before.get(turn.parent)
        shared = _num_shared(turn, parent) if parent else 0
        before[turn.index] = turn
        turns.append(replace(turn, prompt_token_ids=turn.prompt_token_ids[shared:]))
        inherited.append(shared)
    shortened = Trajectory(key=attempt.trajectory.key, turns=tuple(turns))
    line = AttemptLine(episode=attempt.episode, trajectory=shortened, inherited=tuple(inherited))
    return to_line(line, f"episode '{attempt.episode.key}'")


def _num_shared(turn: SampledTurn, parent: SampledTurn) -> int:
    """Return how many ids a prompt takes from its parent's turn: all that it held, or none."""
    prompt, num_prompt = turn.prompt_token_ids, len(parent.prompt_token_ids)
    num_held = num_prompt + len(parent.sampled_token_ids)
    # The short part first: where the two differ they mostly do so at the end, and the long part is a copy.
    goes_on = prompt[num_prompt:num_held] == parent.sampled_token_ids and prompt[:num_prompt] == parent.prompt_token_ids
    return num_held if goes_on else 0


def decode_attempt(line: bytes) -> Attempt:
    """Read an ended attempt, every prompt whole again.

    Raises:
        ValueError: It is none.
        AlignmentError: Its streams do not align.
    """
    record = _ATTEMPT.validate_json(line)
    held: dict[int, tuple[int, ...]] = {}
    turns: list[SampledTurn] = []
    if len(record.inherited) != len(record.trajectory.turns):
        raise AlignmentError(
            f"inherited must align with turns: got {len(record.inherited)}, expected {len(record.trajectory.turns)} "
            f"(episode '{record.episode.key}')"
        )
    for turn, shared in zip(record.trajectory.turns, record.inherited, strict=True):
        before = held.get(turn.parent, ()) if shared and turn.parent is not None else ()
        if len(before) != shared:
            raise AlignmentError(
                f"a prompt must begin with what its parent held: got {len(before)} ids, expected {shared} (episode "
                f"'{record.episode.key}', turn {turn.index})"
            )
        prompt = before + turn.prompt_token_ids
        held[turn.index] = prompt + turn.sampled_token_ids
        turns.append(replace(turn, prompt_token_ids=prompt))
    return Attempt(episode=record.episode, trajectory=Trajectory(key=record.trajectory.key, turns=tuple(turns)))


def decode_group(line: bytes) -> GroupLine:
    """Read the first line of a file; raises ValueError when it is none."""
    return _GROUP.validate_json(line)


def keys_of(group: BatchGroup, group_size: int) -> list[EpisodeKey]:
    """Return the names of the attempts that a group is made of."""
    first = group.epoch * group_size
    return [EpisodeKey(task_id=group.task, attempt=first + i) for i in range(group_size)]


def newest_version(attempts: Iterable[Attempt]) -> int:
    """Return the newest version of the policy that sampled a token of some attempts; -1 without any."""
    return max(
        (version for attempt in attempts for turn in attempt.trajectory.turns for version in turn.policy_versions),
        default=-1,
    )
