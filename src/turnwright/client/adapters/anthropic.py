"""Anthropic's client library."""

from typing import TYPE_CHECKING, Any

from turnwright.client.adapters import client_options, framework
from turnwright.client.request import Rollout

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic


def anthropic_client(rollout: Rollout, **options: Any) -> "Anthropic":
    """Return a client whose calls belong to this rollout; name the model "default".

    The library has no argument for the temperature: the gateway applies the rollout's.

    Args:
        rollout: The handler's rollout.
        options: Further arguments of the client, such as ``timeout``.

    Example::

        anthropic_client(rollout).messages.create(model="default", max_tokens=256, messages=messages, tools=tools)
    """
    return framework("anthropic", package="anthropic").Anthropic(**_options(rollout, options))


def async_anthropic_client(rollout: Rollout, **options: Any) -> "AsyncAnthropic":
    """Return the asyncio client; arguments as for ``anthropic_client``."""
    return framework("anthropic", package="anthropic").AsyncAnthropic(**_options(rollout, options))


def _options(rollout: Rollout, options: dict[str, Any]) -> dict[str, Any]:
    return {**client_options(rollout, options), "base_url": rollout.anthropic_base_url}
