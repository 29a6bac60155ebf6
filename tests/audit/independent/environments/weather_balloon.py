"""Launch decision for a weather balloon."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool


class WeatherBalloon(Environment):
    """Launch, wait or cancel, by wind, helium and air traffic."""

    instructions = (
        "Decide about a launch. wind(site) gives knots, helium(site) the filling in percent, airspace(site) whether "
        "it is free. Wind above 30: cancel. Otherwise filling below 90 or airspace not free: wait. Else launch. "
        "Answer: decision=WORD"
    )
    typical_turns = 4

    def tasks(self, split):
        rng = random.Random("balloon" + split)
        first = {"train": 0, "validation": 100, "test": 200}[split]
        for n in range({"train": 40, "validation": 15, "test": 15}[split]):
            wind, helium = rng.randrange(2, 45), rng.randrange(80, 101)
            gold = "cancel" if wind > 30 else "wait" if helium < 90 else "launch"
            site = f"S{first + n:03d}"
            data = {"site": site, "wind": wind, "helium": helium, "gold": gold}
            yield Task(id=site, prompt=f"Site {site} is ready at {rng.randrange(4, 22)} h", data=data, split=split)

    @tool
    def wind(self, site: str) -> int:
        """Return the wind at a site in knots.

        Args:
            site: S and three digits.
        """
        self._check(site)
        return self.task.data["wind"]

    @tool
    def helium(self, site: str) -> int:
        """Return how far the balloon of a site is filled, in percent.

        Args:
            site: S and three digits.
        """
        self._check(site)
        return self.task.data["helium"]

    @tool
    def airspace(self, site: str) -> dict[str, object]:
        """Ask air traffic control whether the airspace above a site is free.

        Args:
            site: S and three digits.
        """
        return {"free": True, "remark": None}

    def _check(self, site):
        if site != self.task.data["site"]:
            raise ToolError(f"no site {site}")

    def reward(self, episode):
        return float(episode.answer.strip() == f"decision={episode.task.data['gold']}")

    def oracle(self, task):
        site = task.data["site"]
        (wind,) = yield call("wind", site=site)
        (helium,) = yield call("helium", site=site)
        (air,) = yield call("airspace", site=site)
        free = json.loads(air.content)["free"]
        waits = int(helium.content) < 90 or not free
        yield say("decision=" + ("cancel" if int(wind.content) > 30 else "wait" if waits else "launch"))
