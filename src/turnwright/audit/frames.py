"""Whose line is it: finds the environment's own code on a stack of frames."""

import sys
import sysconfig
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

from turnwright.environments.base import Environment

STDLIB = Path(sysconfig.get_path("stdlib"))
PRODUCT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Use:
    """One use of something that is not the episode's own."""

    kind: str
    """Last part of the finding's code: network, process, write, clock or random."""
    what: str
    where: str
    """File and line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCode:
    """Tells an environment's own files from libraries and from the product."""

    files: frozenset[str]
    """Files of the environment's classes, wherever they lie; of the product only these count."""

    def has(self, filename: str) -> bool:
        """Return whether a file is the environment's own."""
        if filename in self.files:
            return True
        path = Path(filename)
        library = path.is_relative_to(STDLIB) or "site-packages" in path.parts or filename.startswith("<frozen")
        return not library and not path.is_relative_to(PRODUCT)

    def line(self, frame: FrameType | None, boundaries: Collection[CodeType], *, through_product: bool) -> str:
        """Return the own line nearest to ``frame``, called from a function in ``boundaries``; empty without one.

        Args:
            frame: Where it happened.
            boundaries: Functions of the audit; what lies outside of them belongs to whoever runs the audit.
            through_product: Also blame what the environment does through the product, such as its HTTP sources.
        """
        own = ""
        while frame is not None and frame.f_code not in boundaries:
            name = frame.f_code.co_filename
            if not own and self.has(name):
                own = f"{name}:{frame.f_lineno}"
            if not own and not through_product and Path(name).is_relative_to(PRODUCT):
                return ""
            frame = frame.f_back
        return own


def own_code(environment_class: type[Environment]) -> OwnCode:
    """Return what counts as an environment's own: its classes, and all that is neither library nor product."""
    classes = [base for base in environment_class.__mro__ if issubclass(base, Environment) and base is not Environment]
    files = [sys.modules[base.__module__].__file__ for base in classes]
    return OwnCode(files=frozenset(file for file in files if file))
