"""boto3's sagemakerjobruntime: sample, complete, reward."""

import json

import boto3
import desk

runtime = boto3.client("sagemakerjobruntime", endpoint_url=desk.endpoint)
names = {"JobArn": desk.metadata["jobArn"], "TrajectoryId": desk.metadata["trajectoryId"]}
tools = [{"type": "function", "function": tool} for tool in desk.tools]
messages = [{"role": "system", "content": desk.system}, {"role": "user", "content": desk.prompt}]
for _ in range(desk.MAX_TURNS):
    body = json.dumps({"model": "default", "messages": messages, "tools": tools})
    sampled = runtime.sample(**names, Body=body)
    message = json.load(sampled["Body"])["choices"][0]["message"]
    calls = [(call, json.loads(call["function"]["arguments"])) for call in message.get("tool_calls") or []]
    desk.saw(message["content"], [(call["function"]["name"], arguments) for call, arguments in calls])
    messages.append(message)
    if not calls:
        break
    for call, arguments in calls:
        result = desk.answer(call["function"]["name"], arguments)
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
runtime.complete_rollout(**names, Status="ready")
runtime.update_reward(**names, Rewards=[1.0])
desk.tell()
