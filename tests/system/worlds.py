"""Small worlds that any policy can play, and worlds that break in one way each."""

import random
import time
from pathlib import Path

from turnwright import Environment, Episode, Script, Task, call, say, tool
from turnwright.core.task import Split

SIZES: dict[Split, int] = {"train": 24, "validation": 8, "test": 8}
ANSWER = '<final_output>{{"word": "{}"}}</final_output>'


class Talk(Environment):
    """Rewards many vowels, so that replies of random weights differ in reward."""

    instructions = "Say the word."
    typical_turns = 2

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause

    def tasks(self, split: Split) -> list[Task]:
        words = ("yes", "no")
        return [
            Task(
                id=f"{split}-{index}", prompt=f"{split} {index}", data={"gold": {"word": words[index % 2]}}, split=split
            )
            for index in range(SIZES[split])
        ]

    @tool
    def look(self) -> str:
        """Return the word."""
        return self.task.data["gold"]["word"]

    def reward(self, episode: Episode) -> float:
        time.sleep(self.pause)
        text = episode.answer
        return sum(letter in "aeiou" for letter in text) / len(text) if text else 0.0

    def oracle(self, task: Task) -> Script:
        (word,) = yield call("look")
        yield say(ANSWER.format(word.content))


class Uneven(Talk):
    """Takes a time of its own for each attempt, the same however often it is asked."""

    waits = True

    def __init__(self, longest: float = 0.0) -> None:
        super().__init__()
        self.longest = longest

    def reward(self, episode: Episode) -> float:
        time.sleep(self.longest * random.Random(str(episode.key)).random() ** 3)
        return super().reward(episode)


class MostlyHopeless(Talk):
    """Two of three tasks have no reward, whatever is said."""

    def reward(self, episode: Episode) -> float:
        hopeless = int(self.task.id.rpartition("-")[2]) % 3
        return 0.0 if hopeless else super().reward(episode)


class RaisingTool(Talk):
    """Its tool has a bug."""

    @tool
    def look(self) -> str:
        """Return the word."""
        raise RuntimeError("the shelf is empty")


class RaisingStart(Talk):
    """It cannot be opened."""

    def open(self, task: Task, seed: int) -> None:
        raise OSError("no room left")


class RaisingReward(Talk):
    """Its grader has a bug."""

    def reward(self, episode: Episode) -> float:
        raise ZeroDivisionError("no replies to divide by")


class Away(Talk):
    """Cannot be opened as long as a file is there, but for the looks before a run, which have no seed."""

    def __init__(self, flag: str) -> None:
        super().__init__()
        self.flag = Path(flag)

    def open(self, task: Task, seed: int) -> None:
        if seed and self.flag.exists():
            raise ConnectionError("the world is away")
        super().open(task, seed)


class Slow(Talk):
    """Waits in its open as long as a file is there, but for the looks before a run, which have no seed."""

    waits = True

    def __init__(self, flag: str) -> None:
        super().__init__()
        self.flag = Path(flag)

    def open(self, task: Task, seed: int) -> None:
        while seed and self.flag.exists():
            time.sleep(0.05)
        super().open(task, seed)
