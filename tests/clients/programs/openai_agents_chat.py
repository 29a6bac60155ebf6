"""openai-agents in chat mode, streamed, with a client of its own."""

import asyncio
import json

import desk
from openai import AsyncOpenAI

from agents import Agent, OpenAIChatCompletionsModel, RunConfig, Runner, function_tool, set_tracing_disabled

set_tracing_disabled(True)
tools = [function_tool(desk.get_order), function_tool(desk.get_customer), function_tool(desk.get_item)]


async def main():
    client = AsyncOpenAI(base_url=f"{desk.endpoint}/v1", api_key=desk.metadata["api_key"])
    model = OpenAIChatCompletionsModel(model="default", openai_client=client)
    agent = Agent(name="desk", instructions=desk.system, tools=tools, model=model)
    # By default a call of an unknown tool is an exception, and the policy would never see its mistake.
    forgiving = RunConfig(tool_not_found_behavior="return_error_to_model")
    result = Runner.run_streamed(agent, desk.prompt, run_config=forgiving)
    async for _ in result.stream_events():
        pass
    for response in result.raw_responses:
        calls = [(item.name, json.loads(item.arguments)) for item in response.output if item.type == "function_call"]
        texts = [part.text for item in response.output if item.type == "message" for part in item.content]
        desk.saw("".join(texts), calls)


asyncio.run(main())
desk.report(1.0)
