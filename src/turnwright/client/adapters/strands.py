"""Strands Agents."""

from typing import TYPE_CHECKING, Any

from turnwright.client.adapters import MODEL, framework
from turnwright.client.adapters.openai import openai_options
from turnwright.client.request import Rollout

if TYPE_CHECKING:
    from strands.models.openai import OpenAIModel  # pyright: ignore[reportMissingImports]


def strands_model(
    rollout: Rollout, *, params: dict[str, Any] | None = None, client_args: dict[str, Any] | None = None
) -> "OpenAIModel":
    """Return a model whose calls belong to this rollout.

    Args:
        rollout: The handler's rollout; its temperature, top_p and max_tokens are asked for.
        params: Further fields of each request.
        client_args: Further arguments of the OpenAI client, such as ``timeout``.

    Example::

        Agent(model=strands_model(rollout), tools=[search])(rollout.prompt)
    """
    model = framework("strands.models.openai", package="'strands-agents[openai]'").OpenAIModel
    return model(
        client_args=openai_options(rollout, client_args or {}),
        model_id=MODEL,
        params={**rollout.sampling, **(params or {})},
    )
