"""turnwright.client: the decorator and the LangChain adapter under create_agent, streamed."""

import desk
from langchain.agents import create_agent

from turnwright.client import rollout_handler
from turnwright.client.adapters.langchain import chat_openai


@rollout_handler
def solve(rollout):
    tools = [desk.get_order, desk.get_customer, desk.get_item]
    agent = create_agent(chat_openai(rollout, streaming=True), tools, system_prompt=desk.system)
    for message in agent.invoke({"messages": [("user", rollout.prompt)]})["messages"]:
        if message.type == "ai":
            desk.saw(message.content, [(call["name"], call["args"]) for call in message.tool_calls])
            assert message.usage_metadata["output_tokens"] > 0
    return 1.0


solve(desk.request)
desk.tell()
