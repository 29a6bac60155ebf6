"""sagemaker.train.rft: RolloutFeedbackClient and make_inference_headers used by hand, one reward per turn."""

import json

import desk
from openai import OpenAI
from sagemaker.core.token_generator import generate_token
from sagemaker.train.rft import RolloutFeedbackClient, make_inference_headers

client = OpenAI(
    base_url=f"{desk.endpoint}/v1",
    api_key=generate_token(region=desk.metadata["region"]),
    default_headers=make_inference_headers(desk.metadata),
)
tools = [{"type": "function", "function": tool} for tool in desk.tools]
messages = [{"role": "system", "content": desk.system}, {"role": "user", "content": desk.prompt}]
rewards = []
for _ in range(desk.MAX_TURNS):
    completion = client.chat.completions.create(model="default", messages=messages, tools=tools)
    message = completion.choices[0].message
    calls = [(call, json.loads(call.function.arguments)) for call in message.tool_calls or []]
    desk.saw(message.content, [(call.function.name, arguments) for call, arguments in calls])
    messages.append(message)
    rewards.append(0.25)
    if not calls:
        break
    for call, arguments in calls:
        result = desk.answer(call.function.name, arguments)
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
RolloutFeedbackClient(desk.metadata).report_complete(rewards)
desk.tell()
