"""``turnwright doctor``: what this machine offers, to read or to paste into an issue."""

import os
import platform
import shutil
import socket
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from turnwright.cli.output import AsJson, human_bytes, print_json, print_table
from turnwright.sandbox.choose import what_is_missing

EXTRAS = {
    "train": ("torch", "transformers", "peft", "safetensors", "numpy", "polars", "matplotlib", "jinja2"),
    "mlflow": ("mlflow",),
    "aws": ("botocore",),
    "mcp": ("mcp",),
}
MIN_FREE_DISK = 2_000_000_000
MLFLOW_PORT = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at."""

    name: str
    value: str
    cure: str = ""
    """What to do about it; empty when all is well."""


def doctor(as_json: AsJson = False) -> None:
    """Show versions, cores, memory, devices, sandboxes and ports; paste it into an issue."""
    checks = [*_versions(), *_machine(), *_sandboxes(), *_ports()]
    if as_json:
        print_json({"healthy": not any(check.cure for check in checks), "checks": [asdict(check) for check in checks]})
    else:
        print_table(("what", "found", "cure"), [(check.name, check.value, check.cure) for check in checks])


def _versions() -> list[Check]:
    checks = [
        Check(name="turnwright", value=version("turnwright") if _installed("turnwright") else "not installed"),
        Check(name="python", value=f"{platform.python_implementation()} {platform.python_version()}"),
        Check(name="platform", value=platform.platform()),
    ]
    for extra, libraries in EXTRAS.items():
        for library in libraries:
            found = _installed(library)
            cure = "" if found else f"pip install 'turnwright[{extra}]'"
            checks.append(Check(name=library, value=version(library) if found else "not installed", cure=cure))
    return checks


def _machine() -> list[Check]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free_disk = shutil.disk_usage(Path.cwd()).free
    enough_disk = free_disk >= MIN_FREE_DISK
    devices = sorted(path.name for path in Path("/proc/driver/nvidia/gpus").glob("*"))
    return [
        Check(name="cores", value=f"{usable} of {os.cpu_count()}"),
        Check(name="threads", value=f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}"),
        Check(name="memory", value=human_bytes(memory)),
        Check(
            name="disk here",
            value=f"{human_bytes(free_disk)} free",
            cure="" if enough_disk else f"free at least {human_bytes(MIN_FREE_DISK)}, or set run.output_dir",
        ),
        Check(name="nvidia devices", value=", ".join(devices) or "none"),
    ]


def _sandboxes() -> list[Check]:
    missing = what_is_missing()
    cure = "" if "" in missing.values() else "apt install bubblewrap; or unsafe_local = true, without isolation"
    return [
        Check(name=f"sandbox {name}", value=" ".join(why.split()) or "works", cure=cure if why else "")
        for name, why in missing.items()
    ]


def _ports() -> list[Check]:
    loopback, mlflow = _can_bind(0), _can_bind(MLFLOW_PORT)
    return [
        Check(
            name="loopback port",
            value="can be opened" if loopback else "refused",
            cure="" if loopback else "allow this user to listen on 127.0.0.1",
        ),
        Check(name=f"port {MLFLOW_PORT}", value="free" if mlflow else "in use (mlflow ui needs another --port)"),
    ]


def _installed(library: str) -> bool:
    try:
        version(library)
    except PackageNotFoundError:
        return False
    return find_spec(library) is not None


def _can_bind(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
