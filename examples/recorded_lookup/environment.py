"""A complete environment on recordings: say what the sky was like in a city on a day."""

import json
from pathlib import Path

from turnwright import Episode, Script, Task, call, say
from turnwright.core.task import Split
from turnwright.environments.recorded import RecordedEnvironment

ANSWER = '<final_output>{{"sky": "{}"}}</final_output>'


class Weather(RecordedEnvironment):
    """Find a city's station, read it, and answer with the sky."""

    recordings = "recordings.jsonl"
    # Every station is recorded on every day: that a call is missing says nothing about any answer.
    on_missing = "tell"
    instructions = f"Call find_station, then read_station. Then answer with the sky: {ANSWER.format('rain')}"
    typical_turns = 3

    def tasks(self, split: Split) -> list[Task]:
        """Return one task per city and day; no split knows another's cities."""
        lines = Path(__file__).with_name("tasks.jsonl").read_text(encoding="utf-8").splitlines()
        return [
            Task(
                id=f"{row['city']}-{row['day']}",
                prompt=f"city: {row['city']}\nday: {row['day']}",
                data={"city": row["city"], "day": row["day"], "gold": {"sky": row["sky"]}},
                split=split,
                cluster=row["city"],
            )
            for row in map(json.loads, lines)
            if row["split"] == split
        ]

    def reward(self, episode: Episode) -> float:
        """Return 1 for the right sky."""
        return float(episode.answer.strip() == ANSWER.format(episode.task.data["gold"]["sky"]))

    def oracle(self, task: Task) -> Script:
        """Look the station up, read it, and repeat the sky."""
        (found,) = yield call("find_station", city=task.data["city"])
        station = json.loads(found.content)["station"]
        (reading,) = yield call("read_station", station=station, day=task.data["day"])
        yield say(ANSWER.format(json.loads(reading.content)["sky"]))
