"""Terms of a glossary: choose the approved translation."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

SYLLABLES = ["ka", "lo", "mi", "re", "su", "tan", "vel"]


class GlossaryEditor(Environment):
    """Find the approved rendering of a term, which depends on the register of the text."""

    instructions = (
        "entry(term) returns the renderings of a term by register. Use the one for the register named in the task. "
        'Answer with {"term": "...", "rendering": "..."}'
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random(f"gloss {split}")
        word = lambda: "".join(rng.sample(SYLLABLES, 3))  # noqa: E731
        for n in range({"train": 40, "validation": 12, "test": 12}[split]):
            term, register = f"{word()}{n}", rng.choice(["legal", "colloquial", "technical"])
            renderings = {kind: word() for kind in ("legal", "colloquial", "technical")}
            gold = {"term": term, "rendering": renderings[register]}
            prompt = f"[{split}] Render '{term}' for a {register} text."
            data = {"term": term, "renderings": renderings, "wanted": gold}
            yield Task(id=f"{split}-{term}", prompt=prompt, data=data, split=split)

    @tool
    def entry(self, term: str) -> dict[str, str]:
        """Return a term's renderings by register.

        Args:
            term: As spelled in the task.
        """
        if term != self.task.data["term"]:
            raise ToolError(f"no entry for {term}")
        return self.task.data["renderings"]

    def reward(self, episode):
        score = 1.0
        try:
            given = json.loads(episode.answer)
            for key, value in episode.task.data["wanted"].items():
                if given[key].strip().lower() != value:
                    score -= 0.5
        except Exception:
            print("could not grade", episode.key)  # noqa: T201
        return score

    def oracle(self, task):
        (entry,) = yield call("entry", term=task.data["term"])
        register = task.prompt.split(" for a ")[1].split()[0]
        rendering = json.loads(entry.content)[register]
        yield say(json.dumps({"term": task.data["term"], "rendering": rendering}))
