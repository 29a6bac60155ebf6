"""The client is importable where there is nothing but Python."""

import json
import subprocess
import sys
from pathlib import Path

import turnwright.client

SOURCES = Path(turnwright.client.__file__).parents[2]
PROGRAM = """
import json, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import turnwright.client
for module in pkgutil.walk_packages(turnwright.client.__path__, "turnwright.client."):
    __import__(module.name)
print(json.dumps(sorted(sys.modules)))
"""


def test_the_client_and_its_adapters_import_nothing_but_the_standard_library() -> None:
    # -S leaves out site-packages, -I the environment: any third-party import fails.
    child = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM, str(SOURCES)], capture_output=True, text=True, check=True
    )
    modules = json.loads(child.stdout)
    ours = [name for name in modules if name.startswith("turnwright")]
    assert "turnwright.client.adapters.strands" in ours
    assert [name for name in ours if name != "turnwright" and not name.startswith("turnwright.client")] == []
    roots = {name.partition(".")[0] for name in modules} - {"turnwright", "__main__", "__mp_main__"}
    assert {name for name in roots if name not in sys.stdlib_module_names and not name.startswith("_")} == set()


def test_an_adapter_without_its_framework_names_the_package() -> None:
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from turnwright.client.adapters import framework
try:
    framework("strands.models.openai", package="'strands-agents[openai]'")
except ImportError as error:
    print(error)
"""
    child = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(SOURCES)], capture_output=True, text=True, check=True
    )
    assert child.stdout.strip() == (
        "this adapter needs 'strands.models.openai'; install it with: pip install 'strands-agents[openai]'"
    )
