"""LevelsHeld: success by the transcript alone, as an evaluation wants it beside the reward."""

import re
from itertools import pairwise

from turnwright.core.episode import Episode
from turnwright.core.score import Score
from turnwright.environments.gallery.tank_control.plant import COUNTED, MINUTES, TOLERANCE

PANEL = re.compile(
    r"after minute (?P<minute>\d+) of \d+\nlevels: (?P<level_1>[\d.]+) and (?P<level_2>[\d.]+) cm\n"
    r"set points: (?P<wanted_1>[\d.]+) and (?P<wanted_2>[\d.]+) cm"
)


class LevelsHeld:
    """Success is every level within the tolerance in every minute that counts, as the panels show them."""

    def score(self, episode: Episode) -> Score:
        """Read the panels in order: each tells the set points of the minute after it."""
        shown = [message.content for message in episode.messages if message.role in ("user", "tool")]
        found = [match.groupdict() for match in map(PANEL.match, shown) if match]
        panels = [{name: float(number) for name, number in panel.items()} for panel in found]
        off = {
            int(now["minute"]): max(abs(now[f"level_{tank}"] - before[f"wanted_{tank}"]) for tank in (1, 2))
            for before, now in pairwise(panels)
        }
        # The panels show tenths, and their difference may be off by the last bit.
        success = all(minute in off and round(off[minute], 1) <= TOLERANCE for minute in COUNTED)
        return Score(success=success, completed=len(off) == MINUTES)
