"""openai: the Responses API, streamed."""

import json

import desk
from openai import OpenAI

client = OpenAI(base_url=f"{desk.endpoint}/v1", api_key=desk.metadata["api_key"])
tools = [{"type": "function", **tool} for tool in desk.tools]
items = [{"role": "user", "content": desk.prompt}]
for _ in range(desk.MAX_TURNS):
    text = ""
    with client.responses.stream(model="default", instructions=desk.system, input=items, tools=tools) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                text += event.delta
        response = stream.get_final_response()
    calls = [(item, json.loads(item.arguments)) for item in response.output if item.type == "function_call"]
    desk.saw(text, [(item.name, arguments) for item, arguments in calls])
    items += [item.to_dict() for item in response.output]
    if not calls:
        break
    for item, arguments in calls:
        result = desk.answer(item.name, arguments)
        items.append({"type": "function_call_output", "call_id": item.call_id, "output": result})
desk.report(1.0)
