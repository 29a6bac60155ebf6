"""An agent that is a function in this process: payload in, reward out."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from turnwright.agents.base import AgentReport, nobody, read_report
from turnwright.agents.in_process import Calls, load_callable
from turnwright.config.place import require_parameters
from turnwright.core.rollout import RolloutRequest


class FunctionAgent:
    """Implements AgentLauncher over a callable that takes the payload of a rollout request.

    It reaches the policy as any client does, at ``payload["metadata"]["endpoint"]``, and returns its reward, or nothing
    when it makes the runtime calls itself.

    Example::

        def rollout(payload: dict) -> float:
            metadata = payload["metadata"]
            client = openai.OpenAI(base_url=metadata["endpoint"] + "/v1", api_key=metadata["api_key"])
            reply = client.chat.completions.create(model="default", messages=[...])
            return float("O3" in (reply.choices[0].message.content or ""))

        FunctionAgent(rollout)  # or FunctionAgent("desk.py:rollout")
    """

    def __init__(self, function: Callable[..., Any] | str) -> None:
        """Take a callable, or its name: ``package.module:function`` or ``path/file.py:function``.

        Raises:
            EnvironmentLoadError: the name does not resolve, or the function does not take one argument.
        """
        if isinstance(function, str):
            name, function = f"agent {function}", load_callable(function, "payload")
        else:
            name = f"agent {getattr(function, '__qualname__', repr(function))}"
            require_parameters(function, name, "payload")
        self._name = name
        self._calls = Calls(function, name)

    async def launch(self, request: RolloutRequest, on_start: Callable[[], None] = nobody) -> AgentReport | None:
        """Call the function and return what it says; None when it says that it works on (``"accepted"``).

        Raises:
            AgentError: it raised, or returned what is no report.
        """
        # Through JSON: what every other agent gets, and nothing that is shared with the task.
        payload = json.loads(json.dumps(request.payload()))
        on_start()
        answer = await self._calls.call(payload)
        if isinstance(answer, Mapping) and answer.get("status") == "accepted":
            return None
        return read_report(answer, self._name)

    async def close(self) -> None:
        """Cancel the calls in work; those in threads are waited for a moment."""
        await self._calls.close()
