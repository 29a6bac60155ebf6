"""openai: the Responses API, whole replies, the conversation kept by the program."""

import json

import desk
from openai import OpenAI

client = OpenAI(base_url=f"{desk.endpoint}/v1", api_key=desk.metadata["api_key"])
tools = [{"type": "function", **tool} for tool in desk.tools]
items = [{"role": "user", "content": desk.prompt}]
for _ in range(desk.MAX_TURNS):
    response = client.responses.create(model="default", instructions=desk.system, input=items, tools=tools)
    calls = [(item, json.loads(item.arguments)) for item in response.output if item.type == "function_call"]
    desk.saw(response.output_text, [(item.name, arguments) for item, arguments in calls])
    items += response.output
    if not calls:
        break
    for item, arguments in calls:
        result = desk.answer(item.name, arguments)
        items.append({"type": "function_call_output", "call_id": item.call_id, "output": result})
desk.report(1.0)
