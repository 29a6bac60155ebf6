"""Session: one trajectory behind the gateway, from its first call to its outcome.

    ask ----------------------> ledger (calls, retries, limits) --> recorder --> log
    complete, reward, abort --> states --> calls in work end --> log --> outcome --> ``ended``

After the seal new calls are refused at once; calls in work go on and their answers are still given; the seal is
written when they are done. An abort cancels them. States and how each end counts: states.py.

A turn is abandoned when no listener got its reply - neither the first request nor a retry - and no later call answers
it: it is recorded and not trained, and it is no turn of the episode, so that one reward per turn leaves it out. Which
turns that are is settled by the seal.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Outcome, TruncationCause
from turnwright.core.task import Task
from turnwright.core.trajectory import Trajectory
from turnwright.gateway.calls import Call
from turnwright.gateway.episodes import build_episode
from turnwright.gateway.exchange import LiveExchange
from turnwright.gateway.ledger import CallLedger, CallTerms
from turnwright.gateway.limits import Admission
from turnwright.gateway.recorder import Recorder
from turnwright.gateway.refusals import Refusal
from turnwright.gateway.sampling import SamplingLimits
from turnwright.gateway.states import SessionState, States
from turnwright.gateway.trajectory_log import TrajectoryLog
from turnwright.inference.base import Engine
from turnwright.rendering.renderer import Renderer
from turnwright.rundir.gateway_records import Ended, RewardGiven, Sealed, SealStatus
from turnwright.rundir.record_log import RecordSink

DELIVERY_GRACE_SECONDS = 1.0
"""How long the seal waits for a listener that has its answer to say whether the reply got through."""

MAX_IGNORED_NAMES = 100
MAX_NAME_LENGTH = 80
"""Fields without effect are told apart by name; a caller can make up any number of them, of any length."""


class Session:
    """Implements calls.Line for one trajectory."""

    def __init__(
        self,
        trajectory_id: str,
        key: EpisodeKey,
        task: Task,
        *,
        renderer: Renderer,
        engine: Engine,
        terms: CallTerms,
        admission: Admission,
        run_seed: int,
        log: RecordSink,
        on_end: Callable[["Session"], None],
    ) -> None:
        """Start an open trajectory, whose opening is logged and whose episode is open at the engine.

        Args:
            trajectory_id: Its name on the wire.
            key: Its name in the run.
            task: What is to be done.
            renderer: Shared by all sessions.
            engine: Samples the replies.
            terms: On what terms calls are accepted.
            admission: Counts the calls of all trajectories.
            run_seed: Part of every sampling key.
            log: The write-ahead log.
            on_end: Called once, when the outcome is settled.
        """
        self.trajectory_id = trajectory_id
        self.key = key
        self.task = task
        self.sampling: SamplingLimits = terms.sampling
        self.ended = asyncio.Event()
        """The outcome is settled and logged."""
        self.ignored = Counter[str]()
        """How often each field without effect was sent."""
        self._records = TrajectoryLog(log)
        self._recorder = Recorder(key, renderer, engine, sampling=terms.sampling, run_seed=run_seed)
        self._ledger = CallLedger(trajectory_id, self._recorder, renderer, terms, admission, self._records)
        self._states = States(trajectory_id)
        self._on_end = on_end
        self._sealed: Sealed | None = None
        """What the seal settled: it does not change when a delivery is confirmed too late."""
        self._num_turns = 0
        self._sealing: asyncio.Task[None] | None = None
        self._rewarding: asyncio.Task[None] | None = None
        self._is_settled = False
        self._is_released = False

    @property
    def name(self) -> str:
        """The trajectory's id."""
        return self.trajectory_id

    @property
    def state(self) -> SessionState:
        """Where the trajectory stands."""
        return self._states.state

    @property
    def truncation(self) -> TruncationCause | None:
        """The limit that cut the attempt, as it stands; final once sealed."""
        return self._ledger.truncation() if self._sealed is None else self._sealed.truncation

    @property
    def abandoned(self) -> frozenset[int]:
        """Numbers of the turns whose reply reached nobody; final once sealed."""
        return self._ledger.undelivered if self._sealed is None else frozenset(self._sealed.abandoned)

    @property
    def num_calls(self) -> int:
        """Calls accepted, retries left out."""
        return self._ledger.num_calls

    @property
    def num_retries(self) -> int:
        """Retries that joined a call."""
        return self._ledger.num_retries

    @property
    def num_working(self) -> int:
        """Calls in work."""
        return self._ledger.num_working

    @property
    def num_sampled_tokens(self) -> int:
        """Tokens of all recorded turns."""
        return self._ledger.num_sampled_tokens

    async def ask(self, call: Call) -> LiveExchange:
        """Start a call, or join the one that it repeats; raises Refusal."""
        self._states.require_open()
        self._count_ignored(call.ignored)
        exchange = self._ledger.ask(call)
        await exchange.started()
        return exchange

    def conversation(self, turn: int) -> tuple[Message, ...]:
        """Return the messages through the reply of a turn; raises Refusal when there is none of this number."""
        self._require_kept()
        held = self._recorder.turn(turn)
        if held is None:
            raise Refusal(
                "not_found",
                f"trajectory {self.trajectory_id!r} has no recorded reply number {turn}; refer to a reply of this "
                "trajectory, or send the whole conversation",
                field="previous_response_id",
            )
        return held.messages

    async def complete(self, status: SealStatus, client_token: str | None, detail: str = "") -> None:
        """Seal the trajectory; returns when the seal is logged.

        Args:
            status: "ready" to be rewarded and trained; "failed" when the agent gives up.
            client_token: Repeating the call with the same one changes nothing.
            detail: For a failed one, why.

        Raises:
            Refusal: It is sealed already.
        """
        if self._states.accept_seal(status, client_token, detail):
            self._sealing = asyncio.create_task(self._seal(), name=f"seal {self.trajectory_id}")
        if self._sealing is not None:
            await asyncio.shield(self._sealing)

    async def reward(
        self, values: Sequence[float], client_token: str | None, components: Mapping[str, float] | None = None
    ) -> None:
        """Grade the trajectory; returns when the reward is logged. Before the seal it waits for ``ready``.

        Args:
            values: One for the trajectory, or one per turn whose reply reached the agent; their sum is the total.
            client_token: Repeating the call with the same one changes nothing.
            components: Named parts of the reward, for metrics.

        Raises:
            Refusal: It has a reward, the run has ended it, or the values are no reward.
        """
        if self._sealing is not None:
            await asyncio.wait([self._sealing])
        num_turns = self._count_turns() if self._sealed is None else self._num_turns
        if self._states.accept_reward(values, client_token, components or {}, num_turns=num_turns):
            self._rewarding = asyncio.create_task(self._keep_reward(), name=f"reward {self.trajectory_id}")
        if self._rewarding is not None:
            await asyncio.shield(self._rewarding)

    async def abort(self, cause: str, detail: str) -> None:
        """End the trajectory from the run's side; returns when it has ended. Nothing happens when it has already.

        Args:
            cause: Cause of its ``Failed``: "agent_error", "timeout", "no_reward", "no_sample", "interrupted", ...
            detail: What happened, in words.
        """
        if self._states.accept_abort(cause, detail):
            self._ledger.cancel()
            if self._sealing is None:
                self._sealing = asyncio.create_task(self._seal(), name=f"abort {self.trajectory_id}")
            await asyncio.gather(asyncio.shield(self._sealing), return_exceptions=True)
            await self._settle()
        await self.ended.wait()

    def outcome(self) -> Outcome | None:
        """Return how the attempt counts; None before it has ended."""
        return self._states.outcome

    def trajectory(self) -> Trajectory:
        """Return the attempt in tokens; until the seal, abandoned turns are those not delivered so far."""
        self._require_kept()
        return self._recorder.trajectory(self.abandoned)

    def episode(self) -> Episode:
        """Return the attempt in messages."""
        self._require_kept()
        outcome = self.outcome() or Failed(cause="unfinished")
        return build_episode(self.key, self.task, self._recorder.turns, self.abandoned, outcome)

    def release(self) -> None:
        """Free what was recorded, once it was taken; states and refusals stay as they are."""
        self._is_released = True
        self._recorder.forget()
        self._ledger.forget()

    def _count_ignored(self, names: Iterable[str]) -> None:
        for name in (name[:MAX_NAME_LENGTH] for name in names):
            if name in self.ignored or len(self.ignored) < MAX_IGNORED_NAMES:
                self.ignored[name] += 1

    def _count_turns(self) -> int:
        return len(self._recorder.turns) - len(self.abandoned)

    async def _seal(self) -> None:
        """Let the calls in work end, then write the seal and, where it is due, the outcome."""
        seal = self._states.seal
        if seal is None:
            raise RuntimeError("a trajectory is being sealed without a seal")
        await self._ledger.finish(grace_seconds=DELIVERY_GRACE_SECONDS if seal.status == "ready" else 0.0)
        self._num_turns = self._count_turns()
        self._sealed = Sealed(
            trajectory_id=self.trajectory_id,
            status=seal.status,
            detail=seal.detail,
            truncation=self.truncation,
            abandoned=tuple(sorted(self.abandoned)),
            client_token=seal.client_token,
            time=time.time(),
        )
        try:
            await self._records.append(self._sealed)
        finally:
            await self._settle()

    async def _keep_reward(self) -> None:
        reward = self._states.reward
        if reward is None:
            raise RuntimeError("a reward is being kept that nobody gave")
        record = RewardGiven(
            trajectory_id=self.trajectory_id,
            values=reward.values,
            components=reward.components,
            client_token=reward.client_token,
            time=time.time(),
        )
        try:
            await self._records.append(record)
        finally:
            await self._settle()

    async def _settle(self) -> None:
        """End the trajectory if its seal is written and its outcome is clear."""
        if self._sealed is None or self._is_settled:
            return
        outcome = self._states.settle(
            num_turns=self._num_turns,
            truncation=self.truncation,
            failure=self._records.failure or self._ledger.failure,
        )
        if outcome is None:
            return
        self._is_settled = True
        try:
            await self._records.append(Ended(trajectory_id=self.trajectory_id, outcome=outcome, time=time.time()))
        finally:
            self.ended.set()
            self._on_end(self)

    def _require_kept(self) -> None:
        if self._is_released:
            raise Refusal(
                "conflict",
                f"trajectory {self.trajectory_id!r} has ended and is no longer in memory: read it in the run directory",
                reason="sealed",
            )
