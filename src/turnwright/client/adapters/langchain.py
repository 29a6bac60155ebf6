"""LangChain and LangGraph."""

from typing import TYPE_CHECKING, Any

from turnwright.client.adapters import MODEL, framework
from turnwright.client.adapters.openai import openai_options
from turnwright.client.request import Rollout

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI  # pyright: ignore[reportMissingImports]


def chat_openai(rollout: Rollout, **options: Any) -> "ChatOpenAI":
    """Return a chat model whose calls, streamed or not, belong to this rollout.

    Args:
        rollout: The handler's rollout; its temperature, top_p and max_tokens are asked for.
        options: Further arguments of ChatOpenAI.

    Example::

        agent = create_agent(chat_openai(rollout), tools=[search])
        agent.invoke({"messages": [("user", rollout.prompt)]})
    """
    chat_model = framework("langchain_openai", package="langchain-openai").ChatOpenAI
    # With a base URL of one's own, ChatOpenAI reports no token usage of streams unless told to.
    return chat_model(**{"model": MODEL, "stream_usage": True, **rollout.sampling, **openai_options(rollout, options)})
