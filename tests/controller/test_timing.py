"""Episodes in flight, counted in virtual time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from rollout import virtual_time
from rollout.playing import EPISODES, Play, Player
from turnwright.controller.timing import TimedRunner
from turnwright.core.outcome import Rewarded
from turnwright.core.task import Task
from turnwright.core.timeline import Timeline
from turnwright.rollout.attempts import Wanted

PAUSES = {"slow": 2.0, "fast": 1.0}


def test_time_counts_while_any_episode_is_in_flight_also_one_that_is_cancelled():
    async def scenario() -> tuple[dict, dict]:
        timeline = Timeline(asyncio.get_running_loop().time)
        player = Player(play=lambda wanted: Play(outcome=Rewarded(value=1.0), pause=PAUSES[wanted.task.id]))
        runner = TimedRunner(player, timeline)

        def play(name: str) -> asyncio.Task:
            wanted = Wanted(task=Task(id=name, prompt=""), attempt=0)
            return asyncio.create_task(runner.run(wanted, EPISODES, executor))

        with ThreadPoolExecutor(max_workers=1) as executor:
            # Two tokens each: 4 s and, from 1 s on, 2 s.
            slow = play("slow")
            await asyncio.sleep(1.0)
            fast = play("fast")
            await asyncio.gather(slow, fast)
            await asyncio.sleep(3.0)
            first = timeline.take()
            cancelled = play("slow")
            await asyncio.sleep(1.5)
            cancelled.cancel()
            await asyncio.gather(cancelled, return_exceptions=True)
            await asyncio.sleep(0.5)
        return first, timeline.take()

    first, second = virtual_time.run(scenario())
    assert (first["tools"], first["other"], sum(first.values())) == (4.0, 3.0, 7.0)
    assert (second["tools"], second["other"]) == (1.5, 0.5)
