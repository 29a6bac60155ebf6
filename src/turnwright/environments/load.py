"""From a name to an environment.

``package.module:Class``, ``path/file.py:Class``, ``sop:FOLDER`` (a SOP-Bench domain folder) or a built-in name.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from turnwright.config.place import import_place
from turnwright.core.errors import EnvironmentLoadError
from turnwright.environments.base import Environment

BUILT_IN: Mapping[str, str] = {
    "code_repair": "turnwright.environments.gallery.code_repair.environment:CodeRepair",
    "hangar_inspection": "turnwright.environments.gallery.hangar_inspection.environment:HangarInspection",
    "returns_desk": "turnwright.environments.gallery.returns_desk.environment:ReturnsDesk",
    "prompts": "turnwright.environments.prompts:Prompts",
    "procedures": "turnwright.environments.gallery.procedures.environment:GeneratedProcedures",
    "content_moderation": "turnwright.environments.gallery.content_moderation.environment:ContentModeration",
    "login_troubleshooting": "turnwright.environments.gallery.login_troubleshooting.environment:LoginTroubleshooting",
    "support_desk": "turnwright.environments.gallery.support_desk.environment:SupportDesk",
    "word_game": "turnwright.environments.gallery.word_game.environment:WordGame",
    "tank_control": "turnwright.environments.gallery.tank_control.environment:TankControl",
    "delivery_rounds": "turnwright.environments.gallery.delivery_rounds.environment:DeliveryRounds",
}
SOP_DOMAIN = "turnwright.environments.sop.environment:SopEnvironment"
SOP_CHECKOUT = "turnwright.environments.sop.checkout:SopCheckout"
FORMS = f"'package.module:Class', 'path/file.py:Class', 'sop:FOLDER' or a built-in name ({', '.join(BUILT_IN)})"


def load_environment(name: str, options: Mapping[str, Any] | None = None) -> Environment:
    """Return the prototype of the environment called ``name``, built with ``options``.

    Raises EnvironmentLoadError, which says what exists, when a name or an option does not resolve.
    """
    options = dict(options or {})
    if name.startswith("sop:"):
        options["folder"] = name.removeprefix("sop:")
        source = SOP_CHECKOUT if _is_checkout(Path(options["folder"])) else SOP_DOMAIN
    else:
        source = BUILT_IN.get(name, name)
    environment_class = _find_class(source, name)
    _check_options(environment_class, options, name)
    try:
        environment = environment_class(**options)
        environment.tool_specs()
    except TypeError as error:
        raise EnvironmentLoadError(f"environment {name!r} cannot be built: {error}") from error
    return environment


def _is_checkout(folder: Path) -> bool:
    """Return whether a folder may hold SOP-Bench domains and is none itself."""
    return folder.is_dir() and not any((folder / name).is_file() for name in ("metadata.json", "toolspecs.json"))


def _find_class(source: str, name: str) -> type[Environment]:
    place, colon, class_name = source.rpartition(":")
    if not colon or not place or not class_name:
        raise EnvironmentLoadError(f"unknown environment {name!r}: expected {FORMS}")
    module = import_place(place, f"environment {name!r}")
    found = getattr(module, class_name, None)
    if not (inspect.isclass(found) and issubclass(found, Environment)):
        there = [
            key
            for key, value in vars(module).items()
            if inspect.isclass(value) and issubclass(value, Environment) and value.__module__ == module.__name__
        ]
        raise EnvironmentLoadError(
            f"environment {name!r}: {place} has no Environment {class_name!r}; it has: {', '.join(there) or 'none'}"
        )
    return found


def _check_options(environment_class: type[Environment], options: Mapping[str, Any], name: str) -> None:
    if environment_class.__init__ is object.__init__:
        known: list[str] = []
    else:
        parameters = list(inspect.signature(environment_class.__init__).parameters.values())[1:]
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return
        known = [parameter.name for parameter in parameters]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise EnvironmentLoadError(
            f"environment {name!r} has no option {unknown[0]!r}; it has: {', '.join(known) or 'none'}"
        )
