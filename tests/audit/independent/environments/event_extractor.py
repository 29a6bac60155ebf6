"""Extracts the date and place of an event from a newsletter."""

import json
import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

PLACES = ["town hall", "old mill", "harbour", "library", "stadium"]
KINDS = ["concert", "reading", "fair", "race"]


def blocks_of(text):
    for body in re.findall(r"<final_output>(.*?)</final_output>", text, re.DOTALL):
        try:
            yield json.loads(body)
        except ValueError:
            continue


class EventExtractor(Environment):
    """Find one event in a newsletter; others of the same kind were cancelled."""

    instructions = (
        "page(number) returns a page of the newsletter; there are 3. Find the event of the kind asked for that is not "
        'cancelled. Answer: <final_output>{"day": N, "place": "..."}</final_output>'
    )
    typical_turns = 4

    def tasks(self, split):
        rng = random.Random("news" + split)
        for issue in range({"train": 36, "validation": 12, "test": 12}[split]):
            kind = rng.choice(KINDS)
            pages, takes_place = [], rng.randrange(3)
            for page in range(3):
                day, place = rng.randrange(1, 29), rng.choice(PLACES)
                note = "" if page == takes_place else " (cancelled)"
                pages.append(f"{kind} on the {day}. at the {place}{note}")
                if page == takes_place:
                    gold = {"day": day, "place": place}
            prompt = f"Issue {issue} of the {split} letters: when and where is the {kind}?"
            yield Task(id=f"{split}-{issue}", prompt=prompt, data={"pages": pages, "gold": gold}, split=split)

    @tool
    def page(self, number: int) -> str:
        """Return the text of a page.

        Args:
            number: 1 to 3.
        """
        if number not in (1, 2, 3):
            raise ToolError("pages are 1 to 3")
        return self.task.data["pages"][number - 1]

    def reward(self, episode):
        return float(any(block == episode.task.data["gold"] for block in blocks_of(episode.answer)))

    def oracle(self, task):
        for number in (1, 2, 3):
            (text,) = yield call("page", number=number)
            if "cancelled" not in text.content:
                day, place = re.search(r"on the (\d+)\. at the (.+)", text.content).groups()
                yield say(f"<final_output>{json.dumps({'day': int(day), 'place': place})}</final_output>")
                return
