"""A ticker feeds quotes to an agent that decides whether to buy."""

import json
import random
import threading

from turnwright import Environment, Task, call, say, tool


class MarketTicker(Environment):
    """Buy when the last quote is the lowest of the window, sell when it is the highest, otherwise hold."""

    typical_turns = 2
    instructions = (
        "Read the window of quotes with quotes. If the last is strictly the lowest, BUY; strictly the highest, SELL; "
        "otherwise HOLD. One word."
    )

    def tasks(self, split):
        rng = random.Random("ticker/" + split)
        for n in range({"train": 45, "validation": 15, "test": 15}[split]):
            window = rng.sample(range(50, 150), 4)
            kind = rng.randrange(3)
            if kind < 2:
                window.sort(reverse=kind == 0)
            gold = "BUY" if window[-1] == min(window) else "SELL" if window[-1] == max(window) else "HOLD"
            symbol = "".join(rng.sample("BCDFGHKLMN", 4))
            prompt = f"{symbol} on {split} day {n}"
            yield Task(id=f"{split}{n}", prompt=prompt, data={"window": window, "gold": gold}, split=split)

    def open(self, task, seed):
        super().open(task, seed)
        self._window = []
        self._ready = threading.Event()
        self._stop = threading.Event()
        feed = threading.Thread(target=self._feed, args=(list(task.data["window"]),), daemon=True)
        feed.start()

    def _feed(self, window):
        self._window.extend(window)
        self._ready.set()
        self._stop.wait(60)

    @tool
    def quotes(self) -> list[int]:
        """Return the quotes of the window, the latest last."""
        self._ready.wait(5)
        return self._window

    def reward(self, episode):
        return float(episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        (quotes,) = yield call("quotes")
        window = json.loads(quotes.content)
        low, high = min(window), max(window)
        yield say("BUY" if window[-1] == low else "SELL" if window[-1] == high else "HOLD")
