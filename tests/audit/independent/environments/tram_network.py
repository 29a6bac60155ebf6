"""Journeys in a tram network that the traveller explores stop by stop."""

import itertools
import json
import random
from collections import deque
from functools import lru_cache

from turnwright import Environment, Episode, Script, Task, ToolError, call, say, tool

STOPS = ["Abbey", "Bridge", "Canal", "Dock", "Elms", "Forum", "Gate", "Hill", "Inn", "Jetty"]


@lru_cache(maxsize=256)
def network(key: str) -> dict[str, tuple[str, ...]]:
    """A connected network, as a function of its key."""
    rng = random.Random(key)
    stops = rng.sample(STOPS, len(STOPS))
    edges = {frozenset((a, b)) for a, b in itertools.pairwise(stops)}
    edges |= {frozenset(rng.sample(stops, 2)) for _ in range(3)}
    return {stop: tuple(sorted(o for edge in edges if stop in edge for o in edge - {stop})) for stop in STOPS}


def distance(tracks, start, goal):
    seen, queue = {start: 0}, deque([start])
    while queue:
        stop = queue.popleft()
        if stop == goal:
            return seen[stop]
        for other in tracks[stop]:
            if other not in seen:
                seen[other] = seen[stop] + 1
                queue.append(other)
    raise ValueError("not connected")


class TramNetwork(Environment):
    """Find out how many stops a journey takes."""

    instructions = (
        "How many stops does the shortest journey take (the start does not count)? next_stops tells which stops are "
        "one stop away. Answer: STOPS: <number>"
    )
    typical_turns = 11

    def tasks(self, split):
        chance = random.Random(f"tram tasks {split}")
        for number in range({"train": 36, "validation": 12, "test": 12}[split]):
            key = f"tram {split} {number}"
            start, goal = chance.sample(STOPS, 2)
            prompt = f"Day ticket {split[:2].upper()}-{chance.randrange(10**5)}: from {start} to {goal}"
            data = {"key": key, "start": start, "goal": goal, "answer": distance(network(key), start, goal)}
            yield Task(id=key.replace(" ", "-"), prompt=prompt, data=data, split=split, cluster=key)

    @tool
    def next_stops(self, stop: str) -> list[str]:
        """Return the stops that are one stop away.

        Args:
            stop: Name of a stop.
        """
        tracks = network(self.task.data["key"])
        if stop not in tracks:
            raise ToolError(f"there is no stop {stop}")
        return list(tracks[stop])

    def reward(self, episode: Episode) -> float:
        return float(episode.answer.strip() == f"STOPS: {episode.task.data['answer']}")

    def oracle(self, task: Task) -> Script:
        start, goal = task.prompt.split(": from ")[1].split(" to ")
        tracks, queue = {}, deque([start])
        while goal not in tracks:
            stop = queue.popleft()
            if stop in tracks:
                continue
            (found,) = yield call("next_stops", stop=stop)
            tracks[stop] = json.loads(found.content)
            queue.extend(tracks[stop])
        back = {stop: [o for o in others if o in tracks] for stop, others in tracks.items()}
        yield say(f"STOPS: {distance(back, start, goal)}")
