"""Groups: the stream that a run's steps take theirs from, put together and held while too many attempts fail."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from turnwright.config import RunConfig
from turnwright.controller.components import Components
from turnwright.controller.pausing import Pausing
from turnwright.controller.replay import Continuation
from turnwright.controller.validation import collector_settings
from turnwright.core.errors import EngineStoppedError
from turnwright.core.outcome import Outcome
from turnwright.learner.batch import is_live
from turnwright.rollout.attempts import EpisodeRunner, Wanted
from turnwright.rollout.batches import Batches, Dealer
from turnwright.rollout.collector import collect_attempts
from turnwright.rollout.concurrency import Concurrency, Load
from turnwright.rollout.pause import FailurePause
from turnwright.rollout.pool import AttemptPool
from turnwright.rollout.repetition import RepetitionSettings
from turnwright.rollout.staleness import StalenessBound
from turnwright.rollout.stream import GroupStream, StreamSettings
from turnwright.rundir.writer import RunWriter


@asynccontextmanager
async def open_stream(
    components: Components,
    config: RunConfig,
    batches: Batches,
    runner: EpisodeRunner,
    writer: RunWriter,
    start: Continuation,
    say: Callable[[str], None],
) -> AsyncGenerator[tuple[GroupStream, Pausing]]:
    """Give the stream of a run's groups, and what holds it, until the block ends.

    Args:
        components: Of the run.
        config: Of the run.
        batches: Which groups it has.
        runner: Makes the attempts.
        writer: Keeps them.
        start: What an interrupted process left.
        say: Told what a paused run waits for; "" when it goes on.
    """
    size = config.algorithm.global_batch_size
    episodes = collector_settings(components, config, seed=config.run.seed, temperature=config.sampling.temperature)

    async def probe(wanted: Wanted) -> Outcome:
        if components.engine.stop_reason:
            # It does not come back, however long anybody waits.
            raise EngineStoppedError(f"{components.engine.stop_reason}; the run can go on with --resume")
        (attempt,) = await collect_attempts(runner, [wanted], episodes)
        return attempt.episode.outcome

    pause = FailurePause(
        limit=config.rollout.max_failed_fraction,
        window=size * config.algorithm.group_size,
        max_seconds=config.rollout.max_pause_seconds,
    )
    pausing = Pausing(writer, pause, probe, say)
    dealer = Dealer(batches)
    dealer.restore(start.dealt)
    stream = GroupStream(
        dealer,
        _pool(components, config, runner),
        StalenessBound(batch_size=size, max_steps_off_policy=config.async_config.max_steps_off_policy),
        StreamSettings(
            group_size=config.algorithm.group_size,
            episodes=episodes,
            fill_rounds=config.rollout.fill_rounds,
            repetition=RepetitionSettings.from_config(config.algorithm),
            straggler_wait_seconds=config.async_config.straggler_wait_seconds,
        ),
        is_live=lambda group: is_live(group, components.step_settings.batch),
        journal=pausing,
    )
    pausing.watch(stream)
    stream.restore(start.open_groups)
    try:
        async with stream:
            yield stream, pausing
    finally:
        await pausing.close()


def _pool(components: Components, config: RunConfig, runner: EpisodeRunner) -> AttemptPool:
    """Return what plays the attempts, with a limit that follows the engine's queue where the run asks for it."""
    engine = components.engine
    lowest, highest = config.rollout.rollout_min_concurrency, config.rollout.rollout_max_concurrency
    if lowest is None:
        return AttemptPool(runner, Concurrency.start(lowest=highest, highest=highest))

    def load() -> Load:
        return Load(in_flight=pool.num_in_flight, in_work=engine.num_in_work, waiting=engine.num_waiting)

    pool = AttemptPool(runner, Concurrency.start(lowest=lowest, highest=highest), load)
    return pool
