"""From an environment's class to the name under which another process finds it."""

import inspect
import sys
from pathlib import Path

from turnwright.core.errors import ConfigError
from turnwright.environments.base import Environment


def environment_name(environment: str | type[Environment]) -> str:
    """Return a name that ``load_environment`` resolves in any process.

    Raises:
        ConfigError: The class lives in a notebook cell or inside a function, where no other process finds it.
    """
    if isinstance(environment, str):
        return environment
    module = sys.modules[environment.__module__]
    if environment.__qualname__ == environment.__name__:
        # A module of a package may import its neighbours, so it is found by its own name; a script by its file.
        if module.__spec__ is not None and "." in module.__name__:
            return f"{module.__name__}:{environment.__name__}"
        file = getattr(module, "__file__", None)
        if file is not None and Path(file).suffix == ".py":
            return f"{inspect.getfile(environment)}:{environment.__name__}"
    raise ConfigError(
        f"{environment.__qualname__} cannot be found by the processes that train and evaluate: expected a class at the "
        "top of a .py file; move it to a file and pass its name, such as 'orders.py:Orders'"
    )
