"""A complete environment of one tool: say where an order ships."""

from turnwright import Environment, Episode, Script, Task, ToolError, call, say, tool
from turnwright.core.seeding import generator
from turnwright.core.task import Split

SIZES: dict[Split, int] = {"train": 240, "validation": 60, "test": 120}
CITIES = ("Oslo", "Lima", "Cairo", "Hanoi", "Quito")
ANSWER = '<final_output>{{"city": "{}"}}</final_output>'


class Orders(Environment):
    """Say where an order ships, using one lookup tool."""

    instructions = f"Call get_city with the order. Then answer with its city: {ANSWER.format('Oslo')}"
    typical_turns = 2

    def tasks(self, split: Split) -> list[Task]:
        """Return tasks that each bring three orders of their own, so that no order number tells its city."""
        return [self._task(split, index) for index in range(SIZES[split])]

    @tool
    def get_city(self, order: str) -> str:
        """Return the city an order ships to."""
        cities: dict[str, str] = self.task.data["cities"]
        if order not in cities:
            raise ToolError(f"no order {order}")
        return cities[order]

    def reward(self, episode: Episode) -> float:
        """Return 1 for the right city."""
        return float(episode.answer.strip() == ANSWER.format(episode.task.data["gold"]["city"]))

    def oracle(self, task: Task) -> Script:
        """Look the order up and repeat the city."""
        (city,) = yield call("get_city", order=task.prompt.removeprefix("order: "))
        yield say(ANSWER.format(city.content))

    def _task(self, split: Split, index: int) -> Task:
        random = generator("orders", split, index)
        cities = {f"O{number}": random.choice(CITIES) for number in random.sample(range(10), 3)}
        asked = next(iter(cities))
        gold = {"city": cities[asked]}  # what the independent scorer compares with
        return Task(id=f"{split}-{index}", prompt=f"order: {asked}", data={"cities": cities, "gold": gold}, split=split)
