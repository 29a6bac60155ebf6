"""The OpenAI Agents SDK."""

from typing import TYPE_CHECKING, Any, Literal

from turnwright.client.adapters import MODEL, framework
from turnwright.client.adapters.openai import async_openai_client
from turnwright.client.request import Rollout

if TYPE_CHECKING:
    from agents import Model, RunConfig  # pyright: ignore[reportMissingImports]


def agents_model(rollout: Rollout, *, api: Literal["responses", "chat"] = "responses", **options: Any) -> "Model":
    """Return a model whose calls belong to this rollout.

    Args:
        rollout: The handler's rollout.
        api: Which API the SDK speaks; "responses" is its own default.
        options: Further arguments of the OpenAI client, such as ``timeout``.
    """
    agents = framework("agents", package="openai-agents")
    kinds = {"responses": agents.OpenAIResponsesModel, "chat": agents.OpenAIChatCompletionsModel}
    return kinds[api](model=MODEL, openai_client=async_openai_client(rollout, **options))


def agents_run_config(
    rollout: Rollout, *, api: Literal["responses", "chat"] = "responses", **options: Any
) -> "RunConfig":
    """Return the settings of one run: every agent in it asks this rollout's policy, and no trace is uploaded.

    A call of a tool that does not exist is answered with an error that the policy can react to; by the SDK's own
    default it would end the attempt.

    Args:
        rollout: The handler's rollout; its temperature, top_p and max_tokens are asked for.
        api: Which API the SDK speaks.
        options: Further arguments of the OpenAI client.

    Example::

        await Runner.run(agent, rollout.prompt, run_config=agents_run_config(rollout))
    """
    agents = framework("agents", package="openai-agents")
    return agents.RunConfig(
        model=agents_model(rollout, api=api, **options),
        model_settings=agents.ModelSettings(**rollout.sampling),
        tracing_disabled=True,
        tool_not_found_behavior="return_error_to_model",
    )
