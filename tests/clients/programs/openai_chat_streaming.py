"""openai: chat completions, streamed, put together by hand from the deltas."""

import json

import desk
from openai import OpenAI

client = OpenAI(base_url=f"{desk.endpoint}/v1", api_key=desk.metadata["api_key"])
tools = [{"type": "function", "function": tool} for tool in desk.tools]
messages = [{"role": "system", "content": desk.system}, {"role": "user", "content": desk.prompt}]
for _ in range(desk.MAX_TURNS):
    content, calls = "", {}
    stream = client.chat.completions.create(
        model="default", messages=messages, tools=tools, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        for choice in chunk.choices:
            content += choice.delta.content or ""
            for piece in choice.delta.tool_calls or []:
                call = calls.setdefault(piece.index, {"id": piece.id, "name": "", "arguments": ""})
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
    desk.saw(content, [(call["name"], json.loads(call["arguments"])) for call in calls.values()])
    spelled = [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in calls.values()
    ]
    messages.append({"role": "assistant", "content": content or None, "tool_calls": spelled})
    if not calls:
        break
    for call in calls.values():
        result = desk.answer(call["name"], json.loads(call["arguments"]))
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
desk.report(1.0)
