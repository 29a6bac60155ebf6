"""anthropic: messages, streamed, reached by the URL of the trajectory."""

import desk
from anthropic import Anthropic

client = Anthropic(
    base_url=f"{desk.endpoint}/t/{desk.metadata['trajectory_id']}", auth_token=desk.metadata["api_key"], api_key=None
)
tools = [
    {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
    for tool in desk.tools
]
messages = [{"role": "user", "content": desk.prompt}]
for _ in range(desk.MAX_TURNS):
    with client.messages.stream(
        model="default", max_tokens=64, system=desk.system, messages=messages, tools=tools
    ) as stream:
        text = "".join(stream.text_stream)
        reply = stream.get_final_message()
    calls = [block for block in reply.content if block.type == "tool_use"]
    desk.saw(text, [(call.name, call.input) for call in calls])
    messages.append({"role": "assistant", "content": reply.content})
    if not calls:
        break
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": desk.answer(call.name, call.input)} for call in calls
    ]
    messages.append({"role": "user", "content": results})
desk.report(1.0)
