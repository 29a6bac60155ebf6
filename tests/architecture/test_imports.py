"""What importing the package costs, and which room imports which: the rules of docs/architecture.md."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "turnwright"
ADAPTERS = PACKAGE / "client" / "adapters"
"""They import what the user's agent is written with."""
HEAVY = ("torch", "transformers", "mlflow", "polars", "numpy", "matplotlib", "ray", "vllm")
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
FORBIDDEN = {
    "algorithms": {"config", "core"},
    "learner": {"rollout", "gateway", "environments", "sandbox", "agents"},
    "evaluation": {"learner", "algorithms", "controller"},
    "health": {"learner", "rollout", "gateway", "inference", "environments"},
    "models": {"algorithms"},
}


def packages() -> list[str]:
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def rooms() -> list[str]:
    return sorted([*packages(), *(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")])


def contracts() -> list[dict[str, list[str]]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def run_python(script: str, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_importing_a_package_loads_nothing_heavy(child_environment: dict[str, str]) -> None:
    names = ["turnwright", *(f"turnwright.{package}" for package in packages())]
    script = (
        "import importlib, json, sys\n"
        "found = {}\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "    if heavy: found[name] = heavy; break\n"
        "print(json.dumps(found))"
    )
    assert json.loads(run_python(script, child_environment)) == {}


@pytest.mark.slow
def test_the_base_install_is_all_that_the_command_line_needs(child_environment: dict[str, str]) -> None:
    script = (
        "import sys\n"
        f"for name in {HEAVY!r}: sys.modules[name] = None\n"
        "from turnwright.cli import main\n"
        "main(['runs', 'list', '--dir', 'absent'])"
    )
    assert "no runs in" in run_python(script, child_environment)


def test_no_room_or_module_has_a_name_that_says_nothing() -> None:
    assert [path for path in PACKAGE.rglob("*.py") if path.stem in BANNED_NAMES] == []
    assert [path for path in PACKAGE.rglob("*/") if path.name in BANNED_NAMES] == []


def test_every_room_has_a_place_in_the_layers() -> None:
    (layers,) = (contract["layers"] for contract in contracts() if "layers" in contract)
    placed = {name.strip(" ()") for layer in layers for name in layer.split("|")}
    assert set(rooms()) <= placed


@pytest.mark.parametrize("source", sorted(FORBIDDEN))
def test_rooms_that_must_not_know_each_other_are_in_a_contract(source: str) -> None:
    present = set(rooms())
    if source not in present:
        return
    expected = {f"turnwright.{name}" for name in FORBIDDEN[source] & present}
    written = [set(c["forbidden_modules"]) for c in contracts() if c.get("source_modules") == [f"turnwright.{source}"]]
    assert expected in written, f"add a forbidden contract for {source} with {sorted(expected)} to pyproject.toml"


@pytest.mark.slow
def test_every_library_that_is_imported_is_declared_and_none_besides() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    base = {distribution(line) for line in project["dependencies"]}
    declared = base | {distribution(line) for extra in ("train", "mlflow", "aws", "postgres") for line in extras[extra]}
    ours = [path for path in PACKAGE.rglob("*.py") if path.parent != ADAPTERS]
    imported = {name for path in ours for name in third_party(ast.walk(parse(path)))}
    assert imported - declared == set()
    assert base - imported == set()


def test_light_rooms_import_extras_only_inside_functions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {distribution(line) for line in project["dependencies"]}
    found = [
        f"{path.relative_to(PACKAGE)}: {name}"
        for room in ("core", "config", "rundir", "cli", "gateway", "agents", "environments")
        for path in (PACKAGE / room).rglob("*.py")
        for name in third_party(iter(parse(path).body)) - base
    ]
    assert found == []


def distribution(requirement: str) -> str:
    return re.split(r"[\[<>=~! ]", requirement, maxsplit=1)[0].lower()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def third_party(nodes: Iterator[ast.AST]) -> set[str]:
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    # pydantic_core is pydantic's own engine and comes with it in the one version that fits.
    return names - sys.stdlib_module_names - {"turnwright", "pydantic_core"}
