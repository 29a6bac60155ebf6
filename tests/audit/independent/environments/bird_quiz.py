"""Multiple choice about birds; a field guide can be consulted."""

import random

from turnwright import Environment, Task, ToolError, call, say, tool

BIRDS = {
    "kestrel": "hovers over fields", "wren": "cocks its short tail", "heron": "stands still in shallow water",
    "swift": "never lands but to nest", "dipper": "walks under water", "jay": "buries acorns",
    "shrike": "impales its prey on thorns", "lapwing": "tumbles in the air", "nuthatch": "climbs down head first",
    "bittern": "booms in the reeds", "turnstone": "flips pebbles", "crossbill": "opens spruce cones",
}  # fmt: skip


class BirdQuiz(Environment):
    """Name the bird that a description fits, by the letter of an option."""

    instructions = (
        "Answer the question with the letter of the right option and nothing else. field_guide(bird) tells how a bird "
        "behaves."
    )
    typical_turns = 3
    max_turns = 8

    def tasks(self, split):
        parts = {"train": list(BIRDS)[:8], "validation": list(BIRDS)[4:10], "test": list(BIRDS)[6:]}
        rng = random.Random(split)
        for n in range({"train": 40, "validation": 12, "test": 12}[split]):
            bird = rng.choice(parts[split])
            wrong = rng.sample([b for b in BIRDS if b != bird], 3)
            options = [bird, *wrong]
            lines = [f"{letter}) {name}" for letter, name in zip("ABCD", options, strict=True)]
            place = rng.choice(["A ringer", "A walker", "A child", "A warden"])
            prompt = f"{place} in {split} hide {n} notes: it {BIRDS[bird]}. Which bird is it?\n" + "\n".join(lines)
            yield Task(id=f"{split}{n}", prompt=prompt, data={"answer": "ABCD"[options.index(bird)]}, split=split)

    @tool
    def field_guide(self, bird: str) -> str:
        """Return how a bird behaves.

        Args:
            bird: English name in lower case.
        """
        try:
            return BIRDS[bird]
        except KeyError:
            raise ToolError(f"no entry {bird!r}") from None

    def reward(self, episode):
        return float(episode.answer.strip().rstrip(")") == episode.task.data["answer"])

    def oracle(self, task):
        note, *options = task.prompt.split("\n")
        for option in options:
            letter, name = option.split(") ")
            (entry,) = yield call("field_guide", bird=name)
            if entry.content in note:
                yield say(letter)
                return
