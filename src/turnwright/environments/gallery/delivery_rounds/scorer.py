"""AllInTime: success by the transcript alone, as an evaluation wants it beside the reward."""

import re

from turnwright.core.episode import Episode
from turnwright.core.score import Score

CALLED_OR_KNOWN = re.compile(r"order (\d+) to ")
CANCELLED = re.compile(r"order (\d+) is cancelled")
DELIVERED = re.compile(r"order (\d+) delivered in time")
CALLS_UNTIL = re.compile(r"calls until (\d\d:\d\d)")
TIME = re.compile(r"^(\d\d:\d\d), at ", re.MULTILINE)


class AllInTime:
    """Success is every order the courier heard of delivered in time or cancelled, with no call left to come."""

    def score(self, episode: Episode) -> Score:
        """Read the prompt and what the tools answered."""
        text = "\n".join(message.content for message in episode.messages if message.role in ("user", "tool"))
        wanted = set(CALLED_OR_KNOWN.findall(text)) - set(CANCELLED.findall(text))
        times, until = TIME.findall(text), CALLS_UNTIL.findall(episode.task.prompt)
        completed = bool(times) and max(times) >= max(until)
        return Score(success=completed and wanted <= set(DELIVERED.findall(text)), completed=completed)
