"""turnwright.client: the decorator and the adapter for openai-agents, whose default is the Responses API."""

import asyncio
import json

import desk

from agents import Agent, Runner, function_tool
from turnwright.client import rollout_handler
from turnwright.client.adapters.openai_agents import agents_run_config

tools = [function_tool(desk.get_order), function_tool(desk.get_customer), function_tool(desk.get_item)]
agent = Agent(name="desk", instructions=desk.system, tools=tools)


@rollout_handler
async def solve(rollout):
    result = await Runner.run(agent, rollout.prompt, run_config=agents_run_config(rollout))
    for response in result.raw_responses:
        calls = [(item.name, json.loads(item.arguments)) for item in response.output if item.type == "function_call"]
        texts = [part.text for item in response.output if item.type == "message" for part in item.content]
        desk.saw("".join(texts), calls)
    return 1.0


asyncio.run(solve(desk.request))
desk.tell()
