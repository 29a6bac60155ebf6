"""openai-agents with all its defaults: the environment says where the model is (OPENAI_BASE_URL, OPENAI_API_KEY)."""

import json

import desk

from agents import Agent, Runner, function_tool

tools = [function_tool(desk.get_order), function_tool(desk.get_customer), function_tool(desk.get_item)]
agent = Agent(name="desk", instructions=desk.system, tools=tools)
result = Runner.run_sync(agent, desk.prompt)
for response in result.raw_responses:
    calls = [(item.name, json.loads(item.arguments)) for item in response.output if item.type == "function_call"]
    texts = [part.text for item in response.output if item.type == "message" for part in item.content]
    desk.saw("".join(texts), calls)
desk.report(1.0)
