"""The sandbox: where code that nobody vouches for runs, with no network, no host files and hard limits."""

from turnwright.sandbox.base import (
    Conversation,
    Ending,
    ProgramEndedError,
    RunResult,
    Sandbox,
    SandboxError,
    SandboxLimits,
    Workspace,
)
from turnwright.sandbox.choose import open_sandbox

__all__ = [
    "Conversation",
    "Ending",
    "ProgramEndedError",
    "RunResult",
    "Sandbox",
    "SandboxError",
    "SandboxLimits",
    "Workspace",
    "open_sandbox",
]
