"""A hotel desk: the guest is asked in plain words and answers in turns."""

import random
import re

from turnwright import Environment, Message, Task, say
from turnwright.environments.base import Done

PARTS = {"train": (0, 20), "validation": (20, 30), "test": (30, 40)}
BEDS = ("single", "double", "twin")
VIEWS = ("sea", "garden", "street")


class GuestInterview(Environment):
    """Find out what a guest wants by asking, then book it."""

    instructions = (
        "Ask the guest three questions, one per message, with exactly these words: 'Which bed?', 'Which view?', 'How "
        "many nights?'. Then book by one message: BOOK bed view nights, for example BOOK single street 3"
    )
    typical_turns = 4

    def tasks(self, split):
        """Return one guest per task."""
        return [self.guest(split, number) for number in range(*PARTS[split])]

    def guest(self, split, number):
        """Draw a guest's wishes."""
        chance = random.Random(f"guest {number}")
        wishes = {"bed": chance.choice(BEDS), "view": chance.choice(VIEWS), "nights": chance.randint(1, 9)}
        return Task(id=f"guest-{number}", prompt=f"Good evening, I am guest {number + 50}.", data=wishes, split=split)

    def respond(self, reply):
        """Answer a question; a booking ends the talk."""
        text = reply.content.strip()
        if text.startswith("BOOK"):
            return Done()
        wishes = self.task.data
        answers = {
            "Which bed?": f"A {wishes['bed']} one, please.",
            "Which view?": f"The {wishes['view']}, if you can.",
            "How many nights?": f"We stay {wishes['nights']}.",
        }
        return [Message(role="user", content=answers.get(text, "I do not understand."))]

    def reward(self, episode):
        """Return 1 for the right booking."""
        wishes = episode.task.data
        return float(episode.answer.strip() == f"BOOK {wishes['bed']} {wishes['view']} {wishes['nights']}")

    def oracle(self, task):
        """Ask three times, book."""
        (bed,) = yield say("Which bed?")
        (view,) = yield say("Which view?")
        (nights,) = yield say("How many nights?")
        stay = re.search(r"\d+", nights.content)[0]
        yield say(f"BOOK {bed.content.split()[1]} {view.content.split()[1].rstrip(',')} {stay}")
