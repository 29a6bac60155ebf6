"""sagemaker.train.rft: an agent with the decorator and its inference headers, written for the service."""

import json
import os

import desk
from openai import OpenAI
from sagemaker.core.token_generator import generate_token
from sagemaker.train.rft import get_inference_headers, sagemaker_rft_handler


@sagemaker_rft_handler
def invoke_agent(payload):
    endpoint = payload["metadata"].get("endpoint") or os.environ["RFT_RUNTIME_ENDPOINT"]
    region = payload["metadata"]["region"]
    client = OpenAI(
        base_url=f"{endpoint}/v1", api_key=generate_token(region=region), default_headers=get_inference_headers()
    )
    sampling = payload["inferenceParams"]
    tools = [{"type": "function", "function": tool} for tool in desk.tools]
    messages = [{"role": "system", "content": desk.system}, {"role": "user", "content": payload["prompt"]}]
    for _ in range(desk.MAX_TURNS):
        completion = client.chat.completions.create(
            model="default",
            messages=messages,
            tools=tools,
            temperature=sampling["temperature"],
            top_p=sampling["topP"],
            max_tokens=sampling["maxTokens"],
        )
        message = completion.choices[0].message
        calls = [(call, json.loads(call.function.arguments)) for call in message.tool_calls or []]
        desk.saw(message.content, [(call.function.name, arguments) for call, arguments in calls])
        messages.append(message)
        if not calls:
            break
        for call, arguments in calls:
            result = desk.answer(call.function.name, arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return {"reward": 1.0}


invoke_agent(desk.request)
desk.tell()
