"""Age ratings of films, from what the examiners noted."""

import json
import random

from turnwright import Environment, Task, ToolError, call, say, tool

FOLDS = {"train": range(7), "valid": range(7, 8), "test": range(8, 10)}


def rating(notes):
    if notes["violence"] >= 4 or notes["fear"] >= 5:
        return 16
    if notes["violence"] >= 2 or notes["fear"] >= 3 or notes["language"] >= 4:
        return 12
    return 6


class FilmRatings(Environment):
    """Give a film its age rating."""

    instructions = (
        "notes(film) gives grades from 0 to 5. Violence from 4 or fear 5: 16. Otherwise violence from 2, fear from 3 "
        "or language from 4: 12. Otherwise 6. Reply: rating N"
    )
    typical_turns = 2

    def tasks(self, split):
        rng = random.Random("films")
        out = []
        for n in range(60):
            notes = {kind: rng.choice((0, 0, 1, 1, 2, 3, 4, 5)) for kind in ("violence", "fear", "language")}
            film = f"{rng.choice(['Dawn', 'River', 'Station', 'Winter'])} {rng.randrange(1000, 9999)}"
            if n % 10 in FOLDS.get(split, ()):
                data = {"film": film, "notes": notes, "gold": rating(notes)}
                out.append(Task(id=f"film{n}", prompt=f"Film: {film}", data=data, split=split))
        return out

    @tool
    def notes(self, film: str) -> dict[str, int]:
        """Return the examiners' grades of a film.

        Args:
            film: Title of the film.
        """
        if film != self.task.data["film"]:
            raise ToolError(f"{film} was not examined")
        return self.task.data["notes"]

    def reward(self, episode):
        return float(episode.answer.strip() == f"rating {episode.task.data['gold']}")

    def oracle(self, task):
        (notes,) = yield call("notes", film=task.data["film"])
        yield say(f"rating {rating(json.loads(notes.content))}")
