"""OpenAI's client libraries, and everything that takes one of their clients."""

from typing import TYPE_CHECKING, Any

from turnwright.client.adapters import client_options, framework
from turnwright.client.request import Rollout

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI


def openai_client(rollout: Rollout, **options: Any) -> "OpenAI":
    """Return a client whose calls belong to this rollout; name the model "default".

    Args:
        rollout: The handler's rollout.
        options: Further arguments of the client, such as ``timeout``.

    Example::

        openai_client(rollout).chat.completions.create(model="default", messages=messages, tools=tools)
    """
    return framework("openai", package="openai").OpenAI(**openai_options(rollout, options))


def async_openai_client(rollout: Rollout, **options: Any) -> "AsyncOpenAI":
    """Return the asyncio client; arguments as for ``openai_client``."""
    return framework("openai", package="openai").AsyncOpenAI(**openai_options(rollout, options))


def openai_options(rollout: Rollout, options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an OpenAI client for this rollout, for a framework that makes the client itself."""
    return {**client_options(rollout, options), "base_url": rollout.openai_base_url}
