"""Adapters: a Rollout -> the model object of a framework, bound to that rollout for good.

Each makes a new object per rollout and writes the identity into it, so it works in whatever thread or task the
framework calls it from, and concurrent rollouts share nothing. The framework is imported when its function is called.
"""

from importlib import import_module
from typing import Any

from turnwright.client.request import Rollout

MODEL = "default"
"""The gateway's name for the policy."""
_MAX_RETRIES = 8
"""The frameworks' own 2 are too few for a gateway that answers 429 while it is busy."""


def framework(module: str, *, package: str) -> Any:
    """Import a framework's module.

    Raises:
        ImportError: It is not installed; the message names the package.
    """
    try:
        return import_module(module)
    except ImportError as missing:
        raise ImportError(f"this adapter needs {module!r}; install it with: pip install {package}") from missing


def client_options(rollout: Rollout, options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that OpenAI and Anthropic clients share: the caller's, below the rollout's identity."""
    return {
        "max_retries": _MAX_RETRIES,
        **options,
        "api_key": rollout.api_key,
        "default_headers": {**options.get("default_headers", {}), **rollout.headers()},
    }
