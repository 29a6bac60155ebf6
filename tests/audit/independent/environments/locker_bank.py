"""A bank of parcel lockers that is operated through handles, as its vendor's SDK does."""

import random

from turnwright import Environment, Episode, Task, ToolError, call, say, tool


class Locker:
    """One compartment."""

    def __init__(self, size, content):
        self.size, self.content = size, content

    @property
    def handle(self):
        return f"lk-{id(self):x}"


class LockerBank(Environment):
    """Find the locker of a size that holds a parcel for the customer and report what is in it."""

    instructions = """Customers come for a parcel in a locker of a given size (S, M or L).
open_size returns a handle to the locker of that size, read_label the label of what is inside a handle's locker.
Answer with the label between square brackets, like [label]."""
    typical_turns = 3

    def tasks(self, split: str):
        rng = random.Random("lockers" + split)
        tasks = []
        for n in range({"train": 30, "validation": 15, "test": 15}[split]):
            labels = [f"{rng.choice('KLMNP')}{rng.randrange(100, 1000)}" for _ in "SML"]
            size = rng.randrange(3)
            prompt = f"Customer {split}/{n} has the pickup code for size {'SML'[size]}."
            tasks.append(
                Task(id=f"{split}/{n}", prompt=prompt, data={"labels": labels, "gold": labels[size]}, split=split)
            )
        return tasks

    def open(self, task: Task, seed: int) -> None:
        super().open(task, seed)
        self._bank = [Locker(size, label) for size, label in zip("SML", task.data["labels"], strict=True)]

    @tool
    def open_size(self, size: str) -> str:
        """Open the locker of a size and return a handle to it.

        Args:
            size: S, M or L.
        """
        for locker in self._bank:
            if locker.size == size:
                return locker.handle
        raise ToolError(f"size must be S, M or L, got {size}")

    @tool
    def read_label(self, handle: str) -> str:
        """Read the label of what is inside a locker.

        Args:
            handle: What open_size returned.
        """
        for locker in self._bank:
            if locker.handle == handle:
                return locker.content
        raise ToolError("stale handle")

    def reward(self, episode: Episode) -> float:
        return 1.0 if episode.answer.strip() == f"[{episode.task.data['gold']}]" else 0.0

    def oracle(self, task: Task):
        (handle,) = yield call("open_size", size=task.prompt.rstrip(".")[-1])
        (label,) = yield call("read_label", handle=handle.content)
        yield say(f"[{label.content}]")
