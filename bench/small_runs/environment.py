"""A world for runs of seconds: the shipped policy plays it, calls its tools, and no two attempts are worth the same."""

from slow_tools.environment import SlowProcedures

from turnwright.core.episode import Episode

VOWELS = frozenset("aeiou")


class SmallProcedures(SlowProcedures):
    """Procedures of one lookup and one field.

    The reward is the share of right fields and, a tenth of it, the share of vowels in all replies: attempts at one task
    nearly always differ, so that every step has something to learn and changes the weights.
    """

    def __init__(self, *, latency_scale: float = 0.05, seed: int = 0, size: int = 400) -> None:
        """Take a factor on all latencies, the seed of the procedures and their number per split."""
        super().__init__(latency_scale=latency_scale, seed=seed, size=size, max_lookups=1, max_fields=1)

    def reward(self, episode: Episode) -> dict[str, float]:
        """Return the share of right fields and a little for vowels."""
        return {**super().reward(episode), "vowels": vowels(episode) / 10}


def vowels(episode: Episode) -> float:
    """Return the share of vowels in what the policy wrote, arguments of calls included."""
    replies = [turn.reply for turn in episode.turns]
    written = "".join(reply.content + "".join(call.arguments for call in reply.tool_calls) for reply in replies)
    return sum(letter in VOWELS for letter in written) / max(1, len(written))
