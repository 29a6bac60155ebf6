"""RecordedEnvironment: read-only tools that answer from recordings. Write tasks and reward, nothing else.

    call of the policy --canonical arguments--> recording? -- yes: its answer or its error
                                                           -- no: ToolCrash, or an error that tells no answer

Nothing is executed and nothing waits, so an episode replays exactly, and any number of them share one loaded file.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from turnwright.core.errors import EnvironmentLoadError, ToolError
from turnwright.core.message import ToolSpec
from turnwright.environments.base import Environment, ToolCrash
from turnwright.environments.recorded.keys import canonical_arguments, nearest_key
from turnwright.environments.recorded.store import read_recordings, shorten
from turnwright.environments.tools import Tool, tools_of

OnMissing = Literal["fail", "tell"]


class RecordedEnvironment(Environment):
    """Base of environments whose tools come from a recordings file; ``@tool`` methods are offered beside them.

    Example::

        class Weather(RecordedEnvironment):
            recordings = "recordings.jsonl"
            def tasks(self, split): ...
            def reward(self, episode): ...

    A call without a recording is never given an invented answer. ``on_missing`` says what happens instead:

    * "fail": the episode fails and is not graded; the failure names the nearest recorded call.
    * "tell": the policy reads an error that names the arguments in which its call differs from the nearest recorded
      one. It reads no recorded value: the arguments of another call can be the answer to this task.
    """

    recordings: str = ""
    """The file, relative to the file of the class that names it."""
    on_missing: OnMissing = "fail"
    current_tools: tuple[ToolSpec, ...] = ()
    """The live tools as they are today, to compare the recorded schemas with; empty = take the recorded ones."""

    def __init__(self, recordings: str | None = None, on_missing: OnMissing | None = None) -> None:
        """Load the recordings.

        Args:
            recordings: File to use instead of the class's own, relative to the working directory.
            on_missing: "fail" or "tell", instead of the class's own.

        Raises:
            DatasetError: the file is missing or has a broken line; the message names it.
            EnvironmentLoadError: a recorded schema is not that of ``current_tools``, or an option is wrong.
        """
        self.on_missing = self.on_missing if on_missing is None else on_missing
        if self.on_missing not in get_args(OnMissing):
            raise EnvironmentLoadError(
                f"{type(self).__name__}: on_missing is {self.on_missing!r}: expected fail or tell"
            )
        self._recorded = read_recordings(_own_file(type(self)) if recordings is None else Path(recordings))
        if self.current_tools:
            self._recorded.compare(self.current_tools)
        replayed = {name: Tool(spec=spec, function=_replayed(name)) for name, spec in self._recorded.specs.items()}
        written = tools_of(type(self))
        if both := replayed.keys() & written.keys():
            raise EnvironmentLoadError(
                f"{type(self).__name__} has a @tool method {min(both)!r}, and {self._recorded.path} has recordings of "
                "a tool of that name: rename or remove the method"
            )
        self._tools: Mapping[str, Tool] = {**replayed, **written}

    def tools(self) -> Mapping[str, Tool]:
        """Return the recorded tools, then the ``@tool`` methods."""
        return self._tools

    def replay(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Return what the recorded tool ``name`` answered to these arguments.

        Raises:
            ToolError: the recorded answer is an error; or it is missing and ``on_missing`` is "tell".
            ToolCrash: the recording is missing.
        """
        try:
            key = canonical_arguments(self._recorded.specs[name], arguments)
        except (ValueError, RecursionError) as error:
            raise ToolError(f"arguments are not valid JSON: {error}") from error
        recording = self._recorded.find(name, key)
        if recording is None:
            raise self._missing(name, key)
        if recording.error:
            raise ToolError(recording.answer)
        return recording.answer

    def _missing(self, name: str, key: str) -> ToolError | ToolCrash:
        near = nearest_key(key, self._recorded.by_key[name])
        if self.on_missing == "tell":
            return ToolError(f"{name} has no answer to these arguments{_hint(key, near.key) if near else ''}")
        nearest = f"the nearest is {shorten(near.key)}, {near.distance} edits away" if near else "it has none at all"
        return ToolCrash(
            f"tool {name!r} has no recording for {shorten(key)}: {nearest}; record the call into "
            f"{self._recorded.path}, or set on_missing to 'tell'"
        )


def _own_file(environment_class: type[RecordedEnvironment]) -> Path:
    """Return the path of ``recordings``, seen from the class that sets it."""
    owner = next(base for base in environment_class.__mro__ if "recordings" in vars(base))
    if not environment_class.recordings:
        raise EnvironmentLoadError(
            f"{environment_class.__name__} has no recordings: set 'recordings' to a file beside the class, or give it "
            "as an option"
        )
    return Path(inspect.getfile(owner)).parent / environment_class.recordings


def _replayed(name: str) -> Callable[..., str]:
    return partial(_replay, name)


def _replay(name: str, environment: RecordedEnvironment, /, **arguments: Any) -> str:
    return environment.replay(name, arguments)


def _hint(key: str, nearest: str) -> str:
    """Name the arguments that differ, without a value of either."""
    given, recorded = ({name: json.dumps(value) for name, value in json.loads(one).items()} for one in (key, nearest))
    names = [name for name in {**given, **recorded} if given.get(name) != recorded.get(name)]
    return f"; the nearest call that has one differs in: {', '.join(names)}"
