"""A kitchen's allergen desk."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

ALLERGENS = ("milk", "egg", "soy", "nuts", "wheat", "fish")
PLAIN = ("water", "salt", "carrot", "onion", "pepper", "rice", "leek")
PARTS = {"train": (0, 20), "validation": (20, 28), "test": (28, 40)}


class MenuAllergens(Environment):
    """Name the allergen of a dish."""

    instructions = (
        "Call dish for its ingredients and code_of for each one you do not know; exactly one is an allergen. Answer "
        "with the allergen's name only, such as: egg"
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one dish per task."""
        return [self.dish_task(split, number) for number in range(*PARTS[split])]

    def dish_task(self, split, number):
        """Draw a dish with one ingredient that goes by a code."""
        chance = random.Random(f"dish {number}")
        allergen = chance.choice(ALLERGENS)
        code = f"E{chance.randrange(100, 999)}"
        ingredients = [code, *chance.sample(PLAIN, 3)]
        chance.shuffle(ingredients)
        data = {"dish": 200 + number, "ingredients": ingredients, "code": code, "allergen": allergen}
        return Task(id=f"d{number}", prompt=f"Dish {200 + number}, please.", data=data, split=split)

    @tool
    def dish(self, number: int) -> list[str]:
        """Return the ingredients of a dish.

        Args:
            number: Number of the dish on the menu.
        """
        if number != self.task.data["dish"]:
            raise ToolError(f"dish {number} is not on the menu")
        return self.task.data["ingredients"]

    @tool
    def code_of(self, code: str) -> dict[str, str]:
        """Return what an E number stands for.

        Args:
            code: Such as E400.
        """
        if code != self.task.data["code"]:
            raise ToolError(f"{code} is in no dish that was ordered")
        return {"stands_for": self.task.data["allergen"]}

    def reward(self, episode):
        """Return 1 when the reply names the allergen."""
        return float(episode.task.data["allergen"] in episode.answer.lower())

    def oracle(self, task):
        """Look the code up."""
        (found,) = yield call("dish", number=int(task.prompt.split()[1].rstrip(",")))
        code = next(one for one in json.loads(found.content) if one.startswith("E"))
        (meaning,) = yield call("code_of", code=code)
        yield say(json.loads(meaning.content)["stands_for"])
