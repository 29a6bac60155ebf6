"""turnwright.client: the decorator and the Anthropic adapter, asyncio, a reward with named parts."""

import asyncio

import desk

from turnwright.client import rollout_handler
from turnwright.client.adapters.anthropic import async_anthropic_client


@rollout_handler
async def solve(rollout):
    client = async_anthropic_client(rollout)
    tools = [
        {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
        for tool in desk.tools
    ]
    messages = [{"role": "user", "content": rollout.prompt}]
    for _ in range(desk.MAX_TURNS):
        reply = await client.messages.create(
            model="default", max_tokens=rollout.max_tokens, system=desk.system, messages=messages, tools=tools
        )
        calls = [block for block in reply.content if block.type == "tool_use"]
        text = "".join(block.text for block in reply.content if block.type == "text")
        desk.saw(text, [(call.name, call.input) for call in calls])
        messages.append({"role": "assistant", "content": reply.content})
        if not calls:
            break
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": desk.answer(call.name, call.input)}
            for call in calls
        ]
        messages.append({"role": "user", "content": results})
    return {"reward": 1.0, "components": {"answer": 1.0}}


asyncio.run(solve(desk.request))
desk.tell()
