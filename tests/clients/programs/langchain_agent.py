"""langchain: create_agent, awaited."""

import asyncio

import desk
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model="default", base_url=f"{desk.endpoint}/v1", api_key=desk.metadata["api_key"], temperature=1.0, max_tokens=64
)
agent = create_agent(model, [desk.get_order, desk.get_customer, desk.get_item], system_prompt=desk.system)
result = asyncio.run(agent.ainvoke({"messages": [("user", desk.prompt)]}))
for message in result["messages"]:
    if message.type == "ai":
        desk.saw(message.content, [(call["name"], call["args"]) for call in message.tool_calls])
desk.report(1.0)
