"""OpenEnv's own clients: plays conversations over the socket; the replies come in, everything seen goes out."""

import asyncio
import json
import os
import sys

from openenv.core import GenericEnvClient
from openenv.core.env_server.mcp_types import CallToolAction
from openenv.core.mcp_client import MCPToolClient

told = json.loads(sys.stdin.read())


def tell(result):
    """Write the result as the last line."""
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


async def play(episode):
    """Play the replies of one episode; return what was read, and the last reward."""
    async with GenericEnvClient(base_url=told["url"]) as environment:
        result = await environment.reset(task_id=episode["task_id"], seed=episode["seed"])
        seen = [result.observation["messages"]]
        tools = [tool["name"] for tool in result.observation["tools"]]
        for reply in episode["replies"]:
            result = await environment.step(reply)
            seen.append(result.observation["messages"])
        state = await environment.state()
        return {"seen": seen, "tools": tools, "reward": result.reward, "done": result.done, "state": state}


async def call_tools():
    """Use OpenEnv's client for tools, which shares one session between HTTP and the socket."""
    async with MCPToolClient(base_url=told["url"]) as environment:
        result = await environment.reset(task_id=told["order"]["task_id"])
        tools = [tool.name for tool in await environment.list_tools()]
        arguments = {"order": told["order"]["order"]}
        called = await environment.call_tool("get_order", **arguments)
        stepped = await environment.step(CallToolAction(tool_name="get_order", arguments=arguments))
        state = await environment.state()
        return {
            "first": [tool.name for tool in result.observation.tools],
            "tools": tools,
            "called": called["content"][0]["text"],
            "stepped": stepped.observation.result,
            "steps": state.step_count,
        }


async def refused():
    """Open one session more than there is room for."""
    async with GenericEnvClient(base_url=told["url"]) as first:
        await first.reset(index=0)
        try:
            async with GenericEnvClient(base_url=told["url"]) as second:
                await second.reset(index=0)
        except RuntimeError as error:
            return str(error)


async def main():
    """Do what is told, and print the result."""
    if told["do"] == "play":
        tell(await asyncio.gather(*map(play, told["episodes"])))
    elif told["do"] == "call tools":
        tell(await call_tools())
    elif told["do"] == "be refused":
        tell(await refused())
    else:
        await GenericEnvClient(base_url=told["url"]).reset(index=0)
        tell("gone")
        os._exit(0)


asyncio.run(main())
