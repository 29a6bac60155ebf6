"""Shopping for a recipe: what is missing from the pantry?"""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

RECIPES = {
    "pancakes": {"flour": 200, "milk": 300, "egg": 2},
    "omelette": {"egg": 4, "butter": 20, "chives": 5},
    "risotto": {"rice": 300, "butter": 40, "stock": 900},
    "crumble": {"flour": 150, "butter": 100, "apple": 6},
}
_SHELVES = {}


def shelf_of(household, pantry):
    """Shelves are slow to read (they come over the bus), so each is read once."""
    if household not in _SHELVES:
        _SHELVES[household] = dict(pantry)
    return _SHELVES[household]


class PantryPlanner(Environment):
    """List what has to be bought for a recipe."""

    instructions = (
        "recipe(name) gives what a dish needs, shelf(household) what is in the pantry. List what has to be bought as "
        "JSON: ingredient to missing amount; leave out what there is enough of."
    )
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random(f"pantry {split}")
        for day in range(40 if split == "train" else 12):
            dish = rng.choice(sorted(RECIPES))
            pantry = {item: rng.randrange(0, 2 * amount) for item, amount in RECIPES[dish].items()}
            household = f"{rng.choice(['maple road', 'oak lane', 'elm court'])} {rng.randrange(1, 40)}"
            missing = {item: need - pantry[item] for item, need in RECIPES[dish].items() if pantry[item] < need}
            prompt = f"{split} day {day}: we at {household} cook {dish} tonight."
            data = {"dish": dish, "household": household, "pantry": pantry, "missing": missing}
            yield Task(id=f"{split}-day-{day}", prompt=prompt, data=data, split=split)

    @tool
    def recipe(self, name: str) -> dict[str, int]:
        """Return the ingredients of a dish.

        Args:
            name: The dish.
        """
        if name not in RECIPES:
            raise ToolError(f"no recipe for {name}")
        return RECIPES[name]

    @tool
    def shelf(self, household: str) -> dict[str, int]:
        """Return what is in the pantry of a household.

        Args:
            household: Where the pantry is.
        """
        if household != self.task.data["household"]:
            raise ToolError(f"{household} is not at home")
        return shelf_of(household, self.task.data["pantry"])

    def reward(self, episode):
        try:
            return float(json.loads(episode.answer) == episode.task.data["missing"])
        except ValueError:
            return 0.0

    def oracle(self, task):
        (recipe,) = yield call("recipe", name=task.data["dish"])
        (shelf,) = yield call("shelf", household=task.data["household"])
        need, have = json.loads(recipe.content), json.loads(shelf.content)
        yield say(json.dumps({item: n - have.get(item, 0) for item, n in need.items() if have.get(item, 0) < n}))
