"""LineConversation: a program that is asked one line at a time."""

import threading

from turnwright.sandbox.base import ProgramEndedError, RunResult
from turnwright.sandbox.supervised import Running, text


class LineConversation:
    """Implements Conversation over a running program."""

    def __init__(self, running: Running, program: str, line_seconds: float) -> None:
        """Take a program that was started without standard input."""
        self._running = running
        self._program = program
        self._line_seconds = line_seconds
        self._turn = threading.Lock()
        self._result: RunResult | None = None

    def ask(self, line: str) -> str:
        """Send one line and return the next line of standard output."""
        if "\n" in line:
            raise ValueError(f"a line must have no line break in it: got {line!r}")
        with self._turn:
            if self._result is None:
                self._running.send(line.encode(errors="backslashreplace") + b"\n")
                if self._running.pump(lambda: b"\n" in self._running.output, self._line_seconds):
                    answer, _, rest = bytes(self._running.output).partition(b"\n")
                    self._running.output[:] = rest
                    return text(answer)
                if not self._running.ended:
                    self._running.cut("wall_time")
        result = self.result()
        raise ProgramEndedError(
            f"{self._program!r} ended instead of answering ({result.ending}, exit code {result.exit_code})", result
        )

    def result(self) -> RunResult:
        """Wait for the end and return how the program ended."""
        with self._turn:
            if self._result is None:
                self._result = self._running.result()
            return self._result
