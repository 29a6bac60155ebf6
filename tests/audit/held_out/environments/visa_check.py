"""Visa questions at a travel agency."""

import json
import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

KINDS = ("none", "on-arrival", "embassy", "electronic")
COUNTRIES = ("Arland", "Borvia", "Cestia", "Dunmark", "Elbonia", "Farland", "Gondia", "Hestia")
PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}
VERDICT = re.compile(r"<final>(.*?)</final>", re.DOTALL)


class VisaCheck(Environment):
    """Say which visa a traveller needs."""

    instructions = (
        "Call passport for the traveller's country, then visa_rule for passport and destination. State the kind of "
        "visa (none, on-arrival, embassy or electronic) in verdict tags, as in <verdict>none</verdict>."
    )
    typical_turns = 3

    def tasks(self, split):
        """Return one traveller per task."""
        return [self.traveller(split, number) for number in range(*PARTS[split])]

    def traveller(self, split, number):
        """Draw a traveller and the rules of the day."""
        chance = random.Random(f"visa {number}")
        home, destination = chance.sample(COUNTRIES, 2)
        data = {"name": f"T{number + 40}", "home": home, "to": destination, "visa": chance.choice(KINDS)}
        return Task(id=f"t{number}", prompt=f"T{number + 40} goes to {destination}.", data=data, split=split)

    @tool
    def passport(self, traveller: str) -> dict[str, str]:
        """Return the country of a traveller's passport.

        Args:
            traveller: Such as T3.
        """
        if traveller != self.task.data["name"]:
            raise ToolError(f"no traveller {traveller}")
        return {"country": self.task.data["home"]}

    @tool
    def visa_rule(self, country: str, destination: str) -> dict[str, str]:
        """Return the visa that a passport needs for a destination.

        Args:
            country: Country of the passport.
            destination: Country travelled to.
        """
        if (country, destination) != (self.task.data["home"], self.task.data["to"]):
            raise ToolError(f"no rule from {country} to {destination}")
        return {"visa": self.task.data["visa"]}

    def reward(self, episode):
        """Return 1 for the right visa."""
        verdicts = VERDICT.findall(episode.answer)
        return float(len(verdicts) == 1 and verdicts[0].strip() == episode.task.data["visa"])

    def oracle(self, task):
        """Passport, rule, verdict."""
        name, destination = task.prompt.split()[0], task.prompt.split()[-1].rstrip(".")
        (home,) = yield call("passport", traveller=name)
        (rule,) = yield call("visa_rule", country=json.loads(home.content)["country"], destination=destination)
        yield say(f"<final>{json.loads(rule.content)['visa']}</final>")
