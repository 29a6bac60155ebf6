"""strands-agents: an agent as its quick start has it, over the OpenAI model."""

import desk
from strands import Agent, tool
from strands.models.openai import OpenAIModel

model = OpenAIModel(
    client_args={"api_key": desk.metadata["api_key"], "base_url": f"{desk.endpoint}/v1"},
    model_id="default",
    params={"max_tokens": 64},
)
tools = [tool(desk.get_order), tool(desk.get_customer), tool(desk.get_item)]
agent = Agent(model=model, tools=tools, system_prompt=desk.system, callback_handler=None)
agent(desk.prompt)
for message in agent.messages:
    if message["role"] == "assistant":
        text = "".join(block.get("text", "") for block in message["content"])
        calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
        desk.saw(text, [(call["name"], call["input"]) for call in calls])
desk.report(1.0)
