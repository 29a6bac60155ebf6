"""ConsoleSink: a run on the terminal. On a TTY a panel that is redrawn in place, elsewhere one plain line per step.

Drawn when a step's metrics arrive and at no other time, so it needs no thread. Colours follow NO_COLOR.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.live import Live

from turnwright.tracking.lines import Line, describe_progress, describe_step, describe_validation, in_one_line, panel

_RECENT_STEPS = 10
"""Steps whose mean duration gives the ETA."""


class ConsoleSink:
    """A Sink that shows the last step, what is left, and the last validation."""

    def __init__(
        self,
        *,
        num_steps: int,
        title: str = "turnwright",
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show nothing yet.

        Args:
            num_steps: last step of the run.
            title: heading of the panel, such as the run's name.
            console: where to draw; a panel only when it is a terminal.
            clock: seconds, for the ETA.
        """
        self._num_steps = num_steps
        self._title = title
        self._console = console or Console(highlight=False)
        self._clock = clock
        self._ends: deque[float] = deque([clock()], maxlen=_RECENT_STEPS + 1)
        self._validation: Line | None = None
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Draw a step."""
        if step > 0:
            self._ends.append(self._clock())
        else:
            self._ends[0] = self._clock()
        validation = describe_validation(step, values)
        self._validation = validation or self._validation
        lines = [self._describe_progress(step), *describe_step(values)]
        if self._live is None:
            shown = [*lines, validation] if validation else lines
            self._console.print(in_one_line(shown), soft_wrap=True, markup=False)
            return
        if self._validation:
            lines.append(self._validation)
        if not self._live.is_started:
            self._live.start()
        self._live.update(panel(lines, title=self._title), refresh=True)

    def close(self) -> None:
        """Leave the last panel on the screen."""
        if self._live is not None and self._live.is_started:
            self._live.stop()

    def _describe_progress(self, step: int) -> Line:
        if len(self._ends) < 2:
            return describe_progress(step, self._num_steps)
        seconds = (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)
        return describe_progress(step, self._num_steps, seconds, left=seconds * max(0, self._num_steps - step))
