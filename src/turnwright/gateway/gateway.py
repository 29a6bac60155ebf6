"""Gateway: all open trajectories of a run, and who may touch which.

    runner:  open --> request_for --> (the agent works) --> session.ended --> drop
    agents:  Caller --line, authorize--> Session
    weights: async with paused(): ...          new calls wait, calls in work go on

The trajectory that a call is about may be named by header, by path or by token; whichever are there must agree.
"""

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import UnsupportedModelError
from turnwright.core.message import Message, ToolSpec
from turnwright.core.outcome import Failed
from turnwright.core.rollout import RolloutRequest
from turnwright.core.task import Task
from turnwright.gateway.calls import Caller
from turnwright.gateway.credentials import Credentials, Scope, new_trajectory_id
from turnwright.gateway.ledger import CallTerms
from turnwright.gateway.limits import Admission, GatewayLimits
from turnwright.gateway.refusals import Refusal
from turnwright.gateway.sampling import SamplingLimits, SamplingRule
from turnwright.gateway.session import MAX_IGNORED_NAMES, Session
from turnwright.inference.base import Engine
from turnwright.rendering.renderer import Renderer
from turnwright.rundir.gateway_records import Opened
from turnwright.rundir.record_log import RecordSink

log = logging.getLogger(__name__)

JOB_HEADER = "x-amzn-sagemaker-job-arn"
TRAJECTORY_HEADER = "x-amzn-sagemaker-trajectory-id"

MAX_DROPPED = 10_000
"""Trajectories that are over and still answered by name: late calls get a 409 with the reason and not a 404."""


class Gateway:
    """Implements calls.Desk."""

    def __init__(
        self,
        *,
        renderer: Renderer,
        engine: Engine,
        job_arn: str,
        model_name: str,
        run_seed: int,
        limits: GatewayLimits,
        sampling_rule: SamplingRule,
        credentials: Credentials,
        log: RecordSink,
        endpoint: str,
    ) -> None:
        """Start without trajectories.

        Args:
            renderer: Shared by all sessions.
            engine: Samples the replies; its owner closes it after the last session has ended.
            job_arn: The run's name on the wire.
            model_name: The base model, listed beside the alias "default".
            run_seed: Part of every sampling key.
            limits: What agents may ask for.
            sampling_rule: Whose temperature and top-p count.
            credentials: Mints and checks tokens.
            log: The write-ahead log; its owner closes it.
            endpoint: Base URL that agents are told.
        """
        self.renderer = renderer
        self.job_arn = job_arn
        self.credentials = credentials
        self.limits = limits
        self._engine = engine
        self._model_name = model_name
        self._run_seed = run_seed
        self._rule: SamplingRule = sampling_rule
        self._log = log
        self._endpoint = endpoint
        self._admission = Admission(limits.max_waiting)
        self._sessions: dict[str, Session] = {}
        self._dropped: OrderedDict[str, Session] = OrderedDict()
        self._public_columns: dict[str, tuple[str, ...]] = {}
        self._own_episodes: set[str] = set()
        self._totals = Counter[str]()
        self._ignored_names: set[str] = set()

    @property
    def model_names(self) -> tuple[str, ...]:
        """The alias "default", then the base model."""
        return ("default", self._model_name)

    async def open(
        self,
        task: Task,
        key: EpisodeKey,
        *,
        sampling: SamplingLimits,
        seed: int | None = None,
        public_columns: Sequence[str] = (),
        max_turns: int | None = None,
        own_engine_episode: bool = False,
    ) -> Session:
        """Open a trajectory; returns when that is logged.

        Args:
            task: What is to be done.
            key: Names the attempt.
            sampling: The run's temperature and top-p, and the most tokens of a reply.
            seed: Part of every sampling key; None = the run's.
            public_columns: Entries of the task's data that the agent may see.
            max_turns: Model calls it may make; None = as many as the gateway's limits say.
            own_engine_episode: Open the episode at the engine and close it when the trajectory has ended; otherwise the
                caller does both.

        Raises:
            Refusal: Too many trajectories are open.
            RunDirectoryError: The log cannot be written.
        """
        maximum = self.limits.max_open
        if maximum is not None and len(self._sessions) >= maximum:
            raise Refusal(
                "throttled",
                f"{len(self._sessions)} trajectories are open, expected fewer than max_open = {maximum}; complete one "
                "or come again later",
                reason="busy",
                retry_after=5.0,
            )
        trajectory_id = new_trajectory_id()
        limits = self.limits if max_turns is None else replace(self.limits, max_turns=max_turns)
        terms = CallTerms(sampling=sampling, rule=self._rule, limits=limits, trained=task.split == "train")
        session = Session(
            trajectory_id,
            key,
            task,
            renderer=self.renderer,
            engine=self._engine,
            terms=terms,
            admission=self._admission,
            run_seed=self._run_seed if seed is None else seed,
            log=self._log,
            on_end=self._count_end,
        )
        self._sessions[trajectory_id] = session
        self._public_columns[trajectory_id] = tuple(public_columns)
        try:
            await self._log.append(
                Opened(trajectory_id=trajectory_id, key=key, task=task, job_arn=self.job_arn, time=time.time())
            )
        except BaseException:
            del self._sessions[trajectory_id], self._public_columns[trajectory_id]
            raise
        if own_engine_episode:
            self._engine.open_episode(key)
            self._own_episodes.add(trajectory_id)
        return session

    def request_for(self, session: Session) -> RolloutRequest:
        """Return what an agent is told of its trajectory."""
        trajectory_id, task, sampling = session.trajectory_id, session.task, session.sampling
        columns = self._public_columns.get(trajectory_id, ())
        return RolloutRequest(
            prompt=task.prompt,
            instance={name: task.data[name] for name in columns if name in task.data},
            job_arn=self.job_arn,
            trajectory_id=trajectory_id,
            endpoint=self._endpoint,
            api_key=self.credentials.mint(trajectory_id, ("sample", "reward")),
            sampling_key=self.credentials.mint(trajectory_id, ("sample",)),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
        )

    def session(self, trajectory_id: str) -> Session:
        """Return a trajectory that is open or over; raises Refusal when there is none of this name."""
        session = self._sessions.get(trajectory_id) or self._dropped.get(trajectory_id)
        if session is None:
            raise Refusal(
                "not_found",
                f"there is no trajectory {trajectory_id[:80]!r} in this run; use the trajectory_id of the rollout "
                "request's metadata",
                reason="unknown_trajectory",
            )
        return session

    def line(self, caller: Caller) -> Session:
        """Return the trajectory that a model call is about; raises Refusal when the caller may not sample it."""
        return self.authorize(caller, "sample", None)

    def authorize(self, caller: Caller, scope: Scope, trajectory_id: str | None) -> Session:
        """Return the trajectory that a call is about, if the caller may do this to it.

        Args:
            caller: Who is calling.
            scope: What the call does.
            trajectory_id: The trajectory that the call's body names, where it can.

        Raises:
            Refusal: The credential does not verify or lacks the scope, names disagree or are missing, the job is
                another, or there is no such trajectory.
        """
        identity = self.credentials.identify(caller)
        self._require_own_job(caller.headers.get(JOB_HEADER))
        self._require_own_job(identity.job_arn)
        named = {
            "body": trajectory_id,
            "path": caller.path_trajectory_id,
            "header": caller.headers.get(TRAJECTORY_HEADER),
            "token": identity.trajectory_id,
        }
        found = {where: name for where, name in named.items() if name}
        identity.require(scope, next(iter(found.values()), None))
        if not found:
            raise Refusal(
                "validation",
                "the call does not say which trajectory it is about: send the header X-Amzn-SageMaker-Trajectory-Id, "
                "call /t/{trajectory_id}/v1, or use the rollout request's api_key",
                field="X-Amzn-SageMaker-Trajectory-Id",
            )
        if len(set(found.values())) > 1:
            said = ", ".join(f"{where} {name[:80]!r}" for where, name in found.items())
            raise Refusal(
                "access_denied", f"the call names different trajectories: {said}; name one", reason="mismatch"
            )
        return self.session(next(iter(found.values())))

    def count_prompt_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> int:
        """Return the number of prompt tokens under the run's tokenizer; raises Refusal when it cannot be rendered."""
        try:
            return len(self.renderer.prompt_ids(messages, tools))
        except UnsupportedModelError as error:
            raise Refusal("validation", str(error), field="messages", reason="template") from error

    def paused(self) -> AbstractAsyncContextManager[None]:
        """Hold back calls that have not begun, such as while weights are exchanged."""
        return self._admission.paused()

    def drop(self, session: Session) -> None:
        """Free a trajectory's memory, once its attempt was taken; a late call for it is answered by its state."""
        if self._sessions.pop(session.trajectory_id, None) is None:
            return
        self._public_columns.pop(session.trajectory_id, None)
        session.release()
        self._dropped[session.trajectory_id] = session
        if len(self._dropped) > MAX_DROPPED:
            self._dropped.popitem(last=False)

    def gauges(self) -> dict[str, float]:
        """Return numbers for /metrics: what is going on now, and totals since the start."""
        sessions = self._sessions.values()
        return {
            "trajectories_open": float(sum(session.state == "open" for session in sessions)),
            "trajectories_held": float(len(self._sessions)),
            "calls_in_work": float(self._admission.num_calls - self._admission.num_waiting),
            "calls_waiting": float(self._admission.num_waiting),
        } | {f"{name}_total": float(count) for name, count in self._totals.items()}

    def _require_own_job(self, job_arn: str | None) -> None:
        if job_arn and job_arn != self.job_arn:
            raise Refusal(
                "access_denied",
                f"the job must be this run's, {self.job_arn!r}: got {job_arn[:256]!r}; use the metadata of the rollout "
                "request",
                reason="mismatch",
            )

    def _count_end(self, session: Session) -> None:
        """Add what a trajectory came to to the totals, and close what was opened for it."""
        if session.trajectory_id in self._own_episodes:
            self._own_episodes.remove(session.trajectory_id)
            self._engine.close_episode(session.key)
        outcome = session.outcome()
        failed = isinstance(outcome, Failed)
        self._totals.update(
            trajectories_failed=failed,
            trajectories_rewarded=not failed,
            calls=session.num_calls,
            retries=session.num_retries,
            sampled_tokens=session.num_sampled_tokens,
            turns_abandoned=len(session.abandoned),
            fields_ignored=session.ignored.total(),
        )
        self._name_ignored(session.ignored)

    def _name_ignored(self, names: Iterable[str]) -> None:
        """Say once of each field that it has no effect."""
        for name in names:
            if name not in self._ignored_names and len(self._ignored_names) < MAX_IGNORED_NAMES:
                self._ignored_names.add(name)
                log.info("requests set %r, which has no effect on sampling; it is ignored", name)
