"""CallLedger: the model calls of one trajectory - in work, recorded, lost.

    ask --> a retry? join the exchange it repeats
        --> limits --> exchange and a task:  wait out a pause --> recorder --> log --> answer

The task belongs to the trajectory, so an agent that hangs up neither stops nor loses a call, and its retry finds it.
"""

import asyncio
import logging
from dataclasses import dataclass, replace

from turnwright.core.errors import ContextOverflowError, EngineStoppedError, UnsupportedModelError
from turnwright.core.outcome import Failed, TruncationCause
from turnwright.gateway.calls import Call, UsedSampling
from turnwright.gateway.exchange import LiveExchange
from turnwright.gateway.held import turn_record
from turnwright.gateway.limits import Admission, GatewayLimits, TokenBucket, require_within_rate
from turnwright.gateway.recorder import Recorder
from turnwright.gateway.refusals import Refusal, RefusalCode
from turnwright.gateway.retries import repeated_exchange
from turnwright.gateway.sampling import SamplingLimits, SamplingRule, settle_sampling
from turnwright.gateway.trajectory_log import TrajectoryLog
from turnwright.rendering.renderer import Renderer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTerms:
    """On what terms calls are accepted."""

    sampling: SamplingLimits
    rule: SamplingRule
    limits: GatewayLimits
    trained: bool
    """Replies may be trained, so they must be sampled."""


class CallLedger:
    """Accepts calls, has them carried out, and knows what became of each."""

    def __init__(
        self,
        trajectory_id: str,
        recorder: Recorder,
        renderer: Renderer,
        terms: CallTerms,
        admission: Admission,
        records: TrajectoryLog,
    ) -> None:
        """Start without calls.

        Args:
            trajectory_id: Named in refusals and records.
            recorder: Makes tokens of calls.
            renderer: Spells ids as text.
            terms: On what terms calls are accepted.
            admission: Counts the calls of all trajectories.
            records: Where turns are logged.
        """
        self.num_calls = 0
        """Calls accepted, retries left out."""
        self.num_retries = 0
        """Retries that joined a call."""
        self.num_sampled_tokens = 0
        self._trajectory_id = trajectory_id
        self._recorder = recorder
        self._renderer = renderer
        self._terms = terms
        self._admission = admission
        self._records = records
        self._bucket = TokenBucket(terms.limits.calls_per_second)
        self._exchanges: list[LiveExchange] = []
        """Calls in work or recorded, in the order of asking."""
        self._working: dict[asyncio.Task[None], LiveExchange] = {}
        self._by_turn: dict[int, LiveExchange] = {}
        self._lost: list[tuple[LiveExchange, Failed]] = []
        self._limit_met: TruncationCause | None = None

    @property
    def num_working(self) -> int:
        """Calls in work."""
        return len(self._working)

    @property
    def undelivered(self) -> frozenset[int]:
        """Sampled turns whose reply, as far as is known, has reached nobody."""
        return frozenset(index for index, exchange in self._by_turn.items() if not exchange.is_delivered)

    @property
    def failure(self) -> Failed | None:
        """The first call that was lost on our side and not made good by asking again."""
        return self._lost[0][1] if self._lost else None

    def truncation(self) -> TruncationCause | None:
        """Return the limit that cut the attempt: one that refused the latest call, or that cut the last reply.

        A reply that reached the length which its own request asked for was not cut by us.
        """
        if self._limit_met is not None:
            return self._limit_met
        delivered = self._by_turn.keys() - self.undelivered
        last = self._recorder.turn(max(delivered)) if delivered else None
        if last is None or last.finish_reason != "length":
            return None
        if self._recorder.fills_sequence(last):
            return "sequence"
        wanted = self._by_turn[last.index].asked.max_tokens
        return None if wanted is not None and len(last.sampled_ids) >= wanted else "token_cap"

    def ask(self, call: Call) -> LiveExchange:
        """Return the exchange of a call, which may be one that it repeats; raises Refusal when it is not accepted."""
        repeated = repeated_exchange(call, self._exchanges)
        if repeated is not None:
            self.num_retries += 1
            repeated.join()
            return repeated
        used = self._accept(call)
        self._admission.enter()
        self.num_calls += 1
        exchange = LiveExchange(call, self._renderer)
        task = asyncio.create_task(
            self._carry_out(call, used, exchange), name=f"call {self.num_calls} of {self._trajectory_id}"
        )
        self._working[task] = exchange
        self._exchanges.append(exchange)
        task.add_done_callback(self._close)
        return exchange

    async def finish(self, *, grace_seconds: float) -> None:
        """Wait until no call is in work.

        Args:
            grace_seconds: How long listeners that have their answer may take to say that the reply got through.
        """
        while self._working:
            await asyncio.wait(self._working)
        await asyncio.gather(*(exchange.confirmation(grace_seconds) for exchange in self._exchanges))

    def forget(self) -> None:
        """Free the calls; those in work have ended."""
        self._exchanges.clear()
        self._by_turn.clear()
        self._lost.clear()

    def cancel(self) -> None:
        """Stop the calls in work."""
        for task in self._working:
            task.cancel()

    def _accept(self, call: Call) -> UsedSampling:
        """Check a call against the limits and settle its sampling."""
        terms, limits = self._terms, self._terms.limits
        used = settle_sampling(call.asked, terms.sampling, rule=terms.rule, trained=terms.trained)
        if limits.max_turns is not None and len(self._exchanges) >= limits.max_turns:
            self._limit_met = "max_turns"
            raise Refusal(
                "quota",
                f"trajectory {self._trajectory_id!r} has made all {limits.max_turns} model calls it may make; grade it "
                "as it stands and complete it, or raise max_turns",
                reason="max_turns",
            )
        if limits.max_tokens is not None:
            left = limits.max_tokens - self.num_sampled_tokens
            if left < 1:
                self._limit_met = "token_cap"
                raise Refusal(
                    "quota",
                    f"trajectory {self._trajectory_id!r} has sampled {self.num_sampled_tokens} tokens, expected at "
                    f"most gateway.max_sampled_tokens = {limits.max_tokens}; grade it as it stands and complete it, or "
                    "raise the limit",
                    reason="max_sampled_tokens",
                )
            used = replace(used, max_tokens=min(used.max_tokens, left))
        if len(self._working) >= limits.max_concurrent_calls:
            raise Refusal(
                "throttled",
                f"trajectory {self._trajectory_id!r} has {len(self._working)} calls in work, expected at most "
                f"gateway.max_concurrent_calls = {limits.max_concurrent_calls}; wait for one to end",
                reason="concurrency",
                retry_after=1.0,
            )
        require_within_rate(self._bucket, limits.calls_per_second)
        return used

    async def _carry_out(self, call: Call, used: UsedSampling, exchange: LiveExchange) -> None:
        """Work on one call; whatever happens ends its exchange."""
        try:
            await self._admission.ready()
            begun = self._recorder.begin(call.messages, call.tools, used)
            exchange.begin(begun)
            if begun.follows is not None:
                self._by_turn[begun.follows.index].delivered()
            if self._limit_met == "sequence":  # the agent has found a shorter way to go on
                self._limit_met = None
            turn = await self._recorder.sample(begun, exchange.feed if call.stream else None)
            exchange.sampled(turn)
            self._by_turn[turn.index] = exchange
            await self._records.append(turn_record(self._trajectory_id, turn, exchange.created))
            self.num_sampled_tokens += len(turn.sampled_ids)
            self._lost = [(other, failed) for other, failed in self._lost if not other.repeats(call)]
            exchange.recorded()
        except Refusal as refusal:
            exchange.fail(refusal)
        except ContextOverflowError as error:
            self._limit_met = "sequence"
            exchange.fail(_refused("validation", error, reason="context_length_exceeded"))
        except UnsupportedModelError as error:
            exchange.fail(_refused("validation", error, reason="template"))
        except EngineStoppedError as error:
            self._lose(exchange, Failed(cause="engine_error", detail=str(error)))
        except Exception as error:  # the boundary that attributes what breaks on our side
            log.exception("trajectory %s: a model call broke", self._trajectory_id)
            self._lose(exchange, Failed(cause="gateway_error", detail=f"{type(error).__name__}: {error}"))

    def _lose(self, exchange: LiveExchange, failed: Failed) -> None:
        self._lost.append((exchange, failed))
        exchange.fail(Refusal("internal", f"the call was lost: {failed.detail}; send it again", reason=failed.cause))

    def _close(self, task: "asyncio.Task[None]") -> None:
        """Clean up after a task, which may have been cancelled before its first step."""
        exchange = self._working.pop(task)
        self._admission.leave()
        if task.cancelled():
            exchange.fail(
                Refusal(
                    "conflict",
                    f"Cannot transition trajectory {self._trajectory_id!r}: the run has ended it while this call was "
                    "in work",
                    reason="sealed",
                )
            )
        if exchange.refusal is not None:
            self._exchanges.remove(exchange)


def _refused(code: RefusalCode, error: Exception, *, reason: str) -> Refusal:
    return Refusal(code, str(error), field="messages", reason=reason)
