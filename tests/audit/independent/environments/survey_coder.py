"""Codes open answers of a survey on three fields."""

import json
import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

TOPICS = {"waiting": ["queue", "delay"], "price": ["fees", "costs"], "staff": ["rude", "helpful"]}


def read_answer(text):
    """The object in the one answer block of a reply."""
    blocks = re.findall(r"<final_output>(.*?)</final_output>", text, re.DOTALL)
    try:
        given = json.loads(blocks[0]) if len(blocks) == 1 else None
    except ValueError:
        return None
    return given if isinstance(given, dict) else None


class SurveyCoder(Environment):
    """Read an answer and code topic and tone; every field counts alike."""

    instructions = (
        "Code the open answer that read_answer_text returns. topic is waiting (queue, delay), price (fees, costs) or "
        "staff (rude, helpful); tone is good or bad and stands at the end of the text.\n"
        "Reply in this form:\n"
        '<final_output>{"topic": "staff", "tone": "good"}</final_output>'
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random("survey" + split)
        for n in range({"train": 42, "validation": 14, "test": 14}[split]):
            topic, tone = rng.choice([*TOPICS]), rng.choice(["good", "bad"])
            wave = rng.choice([1, 2, 3, 4])
            sheet = f"{split[:2]}{rng.randrange(10**4, 10**5)}"
            text = f"Wave {wave}. {rng.choice(TOPICS[topic])}, really. All in all {tone}."
            gold = {"topic": topic, "tone": tone, "wave": wave}
            yield Task(
                id=f"{split}-{n}",
                prompt=f"sheet {sheet}",
                data={"sheet": sheet, "text": text, "gold": gold},
                split=split,
            )

    @tool
    def read_answer_text(self, sheet: str) -> str:
        """Return the open answer on a sheet.

        Args:
            sheet: Number of the sheet.
        """
        if sheet != self.task.data["sheet"]:
            raise ToolError(f"no sheet {sheet}")
        return self.task.data["text"]

    def reward(self, episode):
        given, gold = read_answer(episode.answer) or {}, episode.task.data["gold"]
        return sum(given.get(name) == value for name, value in gold.items()) / len(gold.keys() | given.keys())

    def oracle(self, task):
        (text,) = yield call("read_answer_text", sheet=task.data["sheet"])
        wave, word, rest = text.content.split(". ")[0], text.content.split(". ")[1].split(",")[0], text.content.split()
        topic = next(topic for topic, words in TOPICS.items() if word in words)
        answer = {"topic": topic, "tone": rest[-1].rstrip("."), "wave": int(wave.split()[1])}
        yield say(f"<final_output>{json.dumps(answer)}</final_output>")
