"""Choice: which episode a client wants."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from turnwright.core.task import Split
from turnwright.launch.export.errors import ServiceError

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
FIELDS = ("task_id", "split", "index", "seed", "episode_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which episode is wanted."""

    task_id: str | None = None
    split: Split | None = None
    """None = the service's own."""
    index: int | None = None
    """Position of the task in its split; without it and ``task_id`` the seed draws one."""
    seed: int | None = None
    """As ``turnwright play --seed``; None = a number that no earlier episode of this service had."""
    episode_id: str | None = None
    """What the client calls the episode."""


def read_choice(given: Mapping[str, Any], default: Choice) -> Choice:
    """Read a choice.

    Args:
        given: Values by the names of ``FIELDS``, as JSON or as text; other names are not looked at.
        default: What holds where nothing is given: its task as long as no other task is chosen.

    Raises:
        ServiceError: a value is wrong; the error names its field.
    """
    for name in ("task_id", "split", "episode_id"):
        value = given.get(name)
        if value is not None and not (isinstance(value, str) and 0 < len(value) <= 255):
            raise ServiceError("VALIDATION_ERROR", f"{name} must be text of 1 to 255 letters: got {str(value)[:80]!r}")
    split = given.get("split")
    if split is not None and split not in SPLITS:
        raise ServiceError("VALIDATION_ERROR", f"there is no split {split!r}: expected {', '.join(SPLITS)}")
    chosen = any(given.get(name) is not None for name in ("task_id", "split", "index"))
    return Choice(
        task_id=given.get("task_id") if chosen else default.task_id,
        split=cast("Split | None", split) or default.split,
        index=_number("index", given.get("index")) if chosen else default.index,
        seed=_number("seed", given.get("seed"), default.seed),
        episode_id=given.get("episode_id"),
    )


def _number(name: str, value: Any, default: int | None = None) -> int | None:
    if value is None:
        return default
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdecimal() and len(text) <= 20):
        raise ServiceError("VALIDATION_ERROR", f"{name} must be a whole number of at least 0: got {text[:80]!r}")
    return int(text)
