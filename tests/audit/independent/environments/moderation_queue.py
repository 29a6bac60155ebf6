"""Content moderation with a policy in four categories."""

import random
import re

from turnwright import Environment, Task, ToolError, call, say, tool

LABELS = ["spam", "harassment", "self_harm", "allowed"]
PHRASES = {
    "spam": ["cheap watches here", "click for a prize", "earn from home"],
    "harassment": ["you are worthless", "nobody wants you here", "go away loser"],
    "self_harm": ["i cannot go on", "i want to vanish for good"],
    "allowed": ["nice photo", "see you on friday", "what lens is that"],
}


class ModerationQueue(Environment):
    """Read a post in its thread and label it."""

    instructions = """Moderate the post. Fetch it with read_post and label it.
Categories: spam (advertises), harassment (attacks a person), self_harm (the author is in danger), allowed (the rest).
End your reply with the category."""
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random("mod|" + split)
        for n in range({"train": 48, "validation": 16, "test": 16}[split]):
            label = rng.choice(LABELS)
            post = f"{rng.choice(['hey', 'well', 'ok', 'so'])}, {rng.choice(PHRASES[label])}"
            ident = rng.randrange(10**6, 10**7)
            data = {"ident": ident, "post": post, "label": label}
            yield Task(id=f"{split}-{n}", prompt=f"post {ident} was reported", data=data, split=split)

    @tool
    def read_post(self, ident: int) -> str:
        """Return the text of a post.

        Args:
            ident: Number of the post.
        """
        if ident != self.task.data["ident"]:
            raise ToolError(f"post {ident} was deleted")
        return self.task.data["post"]

    def reward(self, episode):
        named = re.findall("|".join(LABELS), episode.answer.lower())
        return float(episode.task.data["label"] in named)

    def oracle(self, task):
        (post,) = yield call("read_post", ident=task.data["ident"])
        label = next(label for label in LABELS for phrase in PHRASES[label] if phrase in post.content)
        yield say(f"Category: {label}")
