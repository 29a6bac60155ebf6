"""Runs the tools.py of a SOP-Bench folder inside a sandbox: one line of JSON in, one line of JSON out.

    python3 worker.py PRISTINE FOLDER
    {"begin": true}                    ->  {"ready": true}  |  {"broken": "why tools.py cannot be used"}
    {"name": ..., "arguments": {...}}  ->  {"result": ...}  |  {"raised": "ValueError", "text": "..."}
    {"end": true}                      ->  {"ended": true}

Importing a data frame library takes a second, so it is done once; each episode is then a fork of its own, in a FOLDER
copied anew from PRISTINE: nothing that tools keep, in memory or in files, reaches the next episode.

Standard library only; it is copied into the sandbox and imports nothing of the product. Tools print as they like: what
they print goes nowhere, and this protocol keeps the real standard output for itself.
"""

import importlib.util
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TextIO


def main() -> None:
    """Serve one episode after another, then end with the input."""
    asked, told = _take_over_streams()
    pristine, folder = (Path(argument).resolve() for argument in sys.argv[1:3])
    # Number libraries start a thread per core unless told otherwise, and a sandbox counts threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _restore(pristine, folder)
    manager_class, broken = _manager_class(folder / "tools.py")
    while asked.readline():
        if broken:
            _tell(told, {"broken": broken})
            continue
        _restore(pristine, folder)
        child = os.fork()
        if child == 0:
            _episode(manager_class, asked, told)
        _, status = os.waitpid(child, 0)
        if status:
            # Whoever waits for an answer learns from our end that there will be none.
            sys.exit(f"the tools ended with status {status}")


def _episode(manager_class: Any, asked: TextIO, told: TextIO) -> NoReturn:
    try:
        manager = manager_class()
    except (Exception, SystemExit) as error:  # the boundary: whatever a benchmark's constructor raises
        _tell(told, {"broken": f"{type(error).__name__}: {error}"})
        os._exit(0)
    _tell(told, {"ready": True})
    while line := asked.readline():
        request = json.loads(line)
        if "end" in request:
            _tell(told, {"ended": True})
            break
        _tell(told, _call(manager, request["name"], request["arguments"]))
    os._exit(0)


def _restore(pristine: Path, folder: Path) -> None:
    os.chdir(folder.parent)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine, folder)
    os.chdir(folder)


def _call(manager: Any, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": _as_json(manager.process_tool_call(name, arguments))}
    except (Exception, SystemExit) as error:  # the boundary: what a tool raises is told to who called
        return {"raised": type(error).__name__, "text": str(error)}


def _take_over_streams() -> tuple[TextIO, TextIO]:
    """Keep the real input and output for the protocol; the tools get empty ones."""
    asked = os.fdopen(os.dup(0), encoding="utf-8")
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    return asked, told


def _manager_class(file: Path) -> tuple[Any, str]:
    """Return the class that answers calls, or why there is none."""
    try:
        return _import(file), ""
    except (Exception, SystemExit) as error:  # whatever a benchmark's module raises while it is imported
        return None, f"{type(error).__name__}: {error}"


def _import(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location("tools", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    sys.path.insert(0, str(file.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules["tools"] = module
    spec.loader.exec_module(module)
    classes = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == "tools"]
    managers = [one for one in classes if one.__name__.endswith("Manager") and hasattr(one, "process_tool_call")]
    if not managers:
        names = ", ".join(one.__name__ for one in classes) or "none"
        raise TypeError(f"no class named ...Manager has process_tool_call(name, arguments); its classes: {names}")
    return managers[0]


def _as_json(value: Any) -> Any:
    """Return the value as JSON has it: NaN and Infinity as null, what JSON cannot say as text."""
    # The number types of numpy are no Python numbers, but give one.
    if hasattr(value, "item") and not getattr(value, "shape", None):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _as_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(part) for part in value]
    return str(value)


def _tell(told: TextIO, reply: Mapping[str, Any]) -> None:
    told.write(json.dumps(reply) + "\n")
    told.flush()


if __name__ == "__main__":
    main()
