"""openai: the Responses API, the conversation kept by the gateway (previous_response_id)."""

import json

import desk
from openai import OpenAI

client = OpenAI(base_url=f"{desk.endpoint}/v1", api_key=desk.metadata["api_key"])
tools = [{"type": "function", **tool} for tool in desk.tools]
items, previous = [{"role": "user", "content": desk.prompt}], None
for _ in range(desk.MAX_TURNS):
    response = client.responses.create(
        model="default", instructions=desk.system, input=items, tools=tools, previous_response_id=previous
    )
    calls = [(item, json.loads(item.arguments)) for item in response.output if item.type == "function_call"]
    desk.saw(response.output_text, [(item.name, arguments) for item, arguments in calls])
    if not calls:
        break
    previous = response.id
    items = [
        {"type": "function_call_output", "call_id": item.call_id, "output": desk.answer(item.name, arguments)}
        for item, arguments in calls
    ]
desk.report(1.0)
