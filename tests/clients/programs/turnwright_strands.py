"""turnwright.client: the decorator and the Strands adapter."""

import desk
from strands import Agent, tool

from turnwright.client import rollout_handler
from turnwright.client.adapters.strands import strands_model

tools = [tool(desk.get_order), tool(desk.get_customer), tool(desk.get_item)]


@rollout_handler
def solve(rollout):
    agent = Agent(model=strands_model(rollout), tools=tools, system_prompt=desk.system, callback_handler=None)
    agent(rollout.prompt)
    for message in agent.messages:
        if message["role"] == "assistant":
            text = "".join(block.get("text", "") for block in message["content"])
            calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
            desk.saw(text, [(call["name"], call["input"]) for call in calls])
    return 1.0


solve(desk.request)
desk.tell()
