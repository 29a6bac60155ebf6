"""EpisodeFile: graded episodes, one JSON object per line, from any number of processes at once."""

import fcntl
import os
from pathlib import Path

from turnwright.core.episode import Episode
from turnwright.rundir.records import encode


class EpisodeFile:
    """Appends whole lines only; it is opened for each, so that processes of one episode each may share it."""

    def __init__(self, path: Path) -> None:
        """Make the folder of the file when it is missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path

    def append(self, episode: Episode) -> None:
        """Write an episode; ``turnwright.rundir.records.decode_episode`` reads its line."""
        line = encode(episode) + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(line)
