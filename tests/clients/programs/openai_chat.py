"""openai: chat completions, whole replies."""

import json

import desk
from openai import OpenAI

client = OpenAI(base_url=f"{desk.endpoint}/v1", api_key=desk.metadata["api_key"])
tools = [{"type": "function", "function": tool} for tool in desk.tools]
messages = [{"role": "system", "content": desk.system}, {"role": "user", "content": desk.prompt}]
for _ in range(desk.MAX_TURNS):
    completion = client.chat.completions.create(model="default", messages=messages, tools=tools, temperature=1.0)
    message = completion.choices[0].message
    calls = [(call, json.loads(call.function.arguments)) for call in message.tool_calls or []]
    desk.saw(message.content, [(call.function.name, arguments) for call, arguments in calls])
    messages.append(message)
    if not calls:
        break
    for call, arguments in calls:
        result = desk.answer(call.function.name, arguments)
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
desk.report(1.0)
