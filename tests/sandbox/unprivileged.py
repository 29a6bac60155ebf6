"""Runs programs as a user without rights: prints one JSON object, {program: how it ended and what it said}.

python3 unprivileged.py BACK_END    programs by name and facts about the host on standard input
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from turnwright.sandbox import SandboxLimits, open_sandbox
from turnwright.sandbox.base import MEBIBYTE


def main() -> None:
    wanted = json.load(sys.stdin)
    sandbox = open_sandbox(sys.argv[1])
    said: dict[str, str] = {}
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    facts = {**wanted["facts"], "HOST_PID": str(bystander.pid)}
    try:
        for name, source in wanted["programs"].items():
            with sandbox.workspace(SandboxLimits(), readable=[Path(path) for path in wanted["readable"]]) as workspace:
                workspace.write("attempt.py", source.encode())
                result = workspace.run(["python3", "-I", "attempt.py"], environment=facts)
                said[name] = f"{result.ending}: {result.stdout}{result.stderr}"
            assert bystander.poll() is None, name
    finally:
        bystander.kill()
    limits = SandboxLimits(processes=8, memory_bytes=96 * MEBIBYTE, wall_seconds=1.0, disk_bytes=MEBIBYTE)
    for name, source in wanted["bombs"].items():
        with sandbox.workspace(limits) as workspace:
            said[name] = workspace.run(["python3", "-I", "-c", source]).ending
    said["user"] = str(os.geteuid())
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
