"""Stop texts: where a reply ends because of what it says, known at the end or while it is still being written."""

from collections.abc import Collection


def cut_at_stop(text: str, stop: Collection[str]) -> str:
    """Return ``text`` up to the earliest of the stop texts; all of it when it holds none."""
    return text[: _first(text, stop)]


def possible_start(text: str, marks: Collection[str]) -> int:
    """Return where a proper beginning of one of ``marks`` stands at the end of ``text``; its length if none does."""
    longest = max(map(len, marks), default=0)
    for start in range(max(0, len(text) - longest + 1), len(text)):
        if any(mark.startswith(text[start:]) for mark in marks):
            return start
    return len(text)


class StopFilter:
    """Lets text through as long as it is certain to stand before the earliest stop text."""

    def __init__(self, stop: Collection[str]) -> None:
        """Let everything through when ``stop`` is empty."""
        self._stop = stop
        self._held = ""
        self._ended = False

    def feed(self, text: str) -> str:
        """Take more text; return what no stop text can take back any more."""
        if self._ended:
            return ""
        held = self._held + text
        found, possible = _first(held, self._stop), possible_start(held, self._stop)
        certain = min(found, possible)
        # A longer stop text may still turn out to begin before the one that was found.
        self._ended = found < len(held) and found <= possible
        self._held = held[certain:]
        return held[:certain]


def _first(text: str, stop: Collection[str]) -> int:
    return min((found for found in map(text.find, stop) if found >= 0), default=len(text))
