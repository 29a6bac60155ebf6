"""FoundWord: success by the transcript alone, as an evaluation wants it beside the reward."""

from turnwright.core.episode import Episode
from turnwright.core.score import Score
from turnwright.environments.gallery.word_game.rules import TRIES, read_guess


class FoundWord:
    """Success is the hidden word among the first guesses that count; nothing of the reward is used."""

    def score(self, episode: Episode) -> Score:
        """Read the replies in order; one that repeats a guess or is none does not count."""
        guesses = dict.fromkeys(read_guess(turn.reply.content) for turn in episode.turns if not turn.reply.tool_calls)
        counted = [guess for guess in guesses if guess is not None][:TRIES]
        found = episode.task.data["word"] in counted
        return Score(success=found, completed=found or len(counted) == TRIES)
