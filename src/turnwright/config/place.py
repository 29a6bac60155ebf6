"""From a place to what stands there: ``package.module:name`` or ``path/file.py:name``."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

from turnwright.core.errors import EnvironmentLoadError, TurnwrightError


def import_place(place: str, what: str, *, error: type[TurnwrightError] = EnvironmentLoadError) -> ModuleType:
    """Import ``package.module`` or ``path/file.py``.

    Args:
        place: The part of a name before its colon.
        what: Names in errors what is being loaded, such as "environment 'desk.py:Desk'".
        error: Raised when there is no such module, or its code raised.
    """
    if place.endswith(".py"):
        return _import_file(Path(place), what, error)
    try:
        return importlib.import_module(place)
    except Exception as cause:  # whatever a user's module raises while it is imported
        raise error(f"{what}: importing {place} failed: {cause!r}") from cause


def functions_of(module: ModuleType) -> str:
    """Return the names of a module's public functions, for an error that says what is there."""
    found = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
    return ", ".join(found) or "none"


def require_parameters(
    function: Callable[..., Any],
    what: str,
    *parameters: str,
    options: Sequence[str] = (),
    error: type[TurnwrightError] = EnvironmentLoadError,
) -> None:
    """Raise ``error`` when ``function`` cannot be called with these parameters, ``options`` by their names."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have none
        return
    try:
        signature.bind(*parameters, **dict.fromkeys(options))
    except TypeError as cause:
        wanted = ", ".join([*parameters, *(["*"] if options else []), *options])
        raise error(f"{what} must accept ({wanted}): it is declared as {signature}") from cause


def _import_file(path: Path, what: str, error: type[TurnwrightError]) -> ModuleType:
    if not path.is_file():
        raise error(f"{what}: there is no file {path.resolve()}")
    # A name made from the path: two files called scorer.py must not shadow each other.
    module_name = f"turnwright_file_{blake2b(str(path.resolve()).encode(), digest_size=6).hexdigest()}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise error(f"{what}: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses, get_type_hints and pickling look their module up by name.
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as cause:  # whatever a user's file raises while it is imported
        del sys.modules[module_name]
        raise error(f"{what}: importing {path} failed: {cause!r}") from cause
    return module
