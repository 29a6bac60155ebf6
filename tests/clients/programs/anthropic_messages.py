"""anthropic: messages, whole replies."""

import desk
from anthropic import Anthropic

client = Anthropic(base_url=desk.endpoint, api_key=desk.metadata["api_key"])
tools = [
    {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
    for tool in desk.tools
]
messages = [{"role": "user", "content": desk.prompt}]
counted = client.messages.count_tokens(model="default", system=desk.system, messages=messages, tools=tools)
for turn in range(desk.MAX_TURNS):
    reply = client.messages.create(model="default", max_tokens=64, system=desk.system, messages=messages, tools=tools)
    assert turn or reply.usage.input_tokens == counted.input_tokens
    calls = [block for block in reply.content if block.type == "tool_use"]
    text = "".join(block.text for block in reply.content if block.type == "text")
    desk.saw(text, [(call.name, call.input) for call in calls])
    messages.append({"role": "assistant", "content": reply.content})
    if not calls:
        break
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": desk.answer(call.name, call.input)} for call in calls
    ]
    messages.append({"role": "user", "content": results})
desk.report(1.0)
