"""A complete environment of one tool: say where an order ships."""

from turnwright.core.episode import Episode
from turnwright.core.task import Split, Task
from turnwright.environments import Environment, Script, call, say, tool

ORDERS: dict[Split, range] = {"train": range(60), "validation": range(60, 75), "test": range(75, 100)}
# No order number tells its city: the policy has to ask.
CITIES = [("Oslo", "Lima", "Cairo", "Hanoi", "Quito")[order * 7 % 11 % 5] for order in range(100)]
ANSWER = '<final_output>{{"city": "{}"}}</final_output>'


class Orders(Environment):
    """Say where an order ships, using one lookup tool."""

    instructions = f"Look the order up, then answer with its city: {ANSWER.format('Oslo')}"
    typical_turns = 2

    def tasks(self, split: Split) -> list[Task]:
        """Return one task per order; ``gold`` is what the independent scorer compares with."""
        return [
            Task(id=f"order-{order}", prompt=f"order: {order}", data={"gold": {"city": CITIES[order]}}, split=split)
            for order in ORDERS[split]
        ]

    @tool
    def get_city(self, order: int) -> str:
        """Return the city an order ships to."""
        return CITIES[order] if 0 <= order < 100 else "no such order"

    def reward(self, episode: Episode) -> float:
        """Return 1 for the right city."""
        return float(episode.answer.strip() == ANSWER.format(episode.task.data["gold"]["city"]))

    def oracle(self, task: Task) -> Script:
        """Look the order up and repeat the city."""
        (city,) = yield call("get_city", order=int(task.prompt.removeprefix("order: ")))
        yield say(ANSWER.format(city.content))
