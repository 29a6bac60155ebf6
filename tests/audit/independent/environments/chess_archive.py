"""Questions about games in a chess archive; the archive's API was recorded."""

import json
import random

from turnwright import Task, ToolError, call, say
from turnwright.environments.recorded.environment import RecordedEnvironment

OPENINGS = ["Caro", "Dutch", "French", "Pirc"]


def _archive():
    rng = random.Random("archive of games")
    return {
        number: {
            "white": f"player {rng.randrange(100, 130)}",
            "black": f"player {rng.randrange(200, 230)}",
            "opening": rng.choice(OPENINGS),
            "result": rng.choice(["1-0", "0-1", "draw"]),
        }
        for number in range(3001, 3061)
    }


GAMES = _archive()
RATINGS = {f"player {n}": random.Random(n).randrange(1600, 2700) for n in [*range(100, 130), *range(200, 230)]}


def get_game(number: int) -> dict[str, str]:
    """Return a game: white, black, opening, result.

    Args:
        number: Number in the archive.
    """
    if number not in GAMES:
        raise ToolError(f"no game {number}")
    return GAMES[number]


def get_rating(player: str) -> int:
    """Return the rating of a player.

    Args:
        player: As the game spells it.
    """
    if player not in RATINGS:
        raise ToolError(f"no player {player!r}")
    return RATINGS[player]


LIVE = [get_game, get_rating]
CALLS = [
    *(("get_game", {"number": number}) for number in [*GAMES, 1]),
    *(("get_rating", {"player": player}) for player in [*RATINGS, "nobody"]),
]


def upset(game):
    """Who won against the odds, or None."""
    if game["result"] == "draw":
        return None
    winner, loser = (game["white"], game["black"])[:: 1 if game["result"] == "1-0" else -1]
    return winner if RATINGS[winner] < RATINGS[loser] else None


class ChessArchive(RecordedEnvironment):
    """Was a game an upset, and in which opening?"""

    recordings = "recordings/chess_archive.jsonl"
    on_missing = "tell"
    instructions = """Judge a game of the archive. get_game returns it, get_rating a player's rating.
verdict: "draw"; "upset" when the lower rated player won; "expected" otherwise.
Answer with one JSON object and nothing else: {"verdict": ..., "winner": the winner's name or null}"""
    typical_turns = 4

    def tasks(self, split):
        numbers = list(GAMES)
        for number in {"train": numbers[:38], "validation": numbers[38:48], "test": numbers[48:]}[split]:
            game = GAMES[number]
            winner = {"1-0": game["white"], "0-1": game["black"], "draw": None}[game["result"]]
            verdict = "draw" if winner is None else "upset" if upset(game) else "expected"
            gold = {"verdict": verdict, "winner": winner}
            yield Task(id=f"game-{number}", prompt=f"game: {number}", data={"expected": gold}, split=split)

    def reward(self, episode):
        try:
            given = json.loads(episode.answer)
        except ValueError:
            return 0.0
        return float(given == episode.task.data["expected"])

    def oracle(self, task):
        (found,) = yield call("get_game", number=int(task.prompt.removeprefix("game: ")))
        game = json.loads(found.content)
        if game["result"] == "draw":
            yield say(json.dumps({"verdict": "draw", "winner": None}))
            return
        (white,) = yield call("get_rating", player=game["white"])
        (black,) = yield call("get_rating", player=game["black"])
        white_won = game["result"] == "1-0"
        lower_won = (int(white.content) < int(black.content)) == white_won
        winner = game["white"] if white_won else game["black"]
        yield say(json.dumps({"verdict": "upset" if lower_won else "expected", "winner": winner}))
