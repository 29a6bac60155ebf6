"""boto3's sagemakerjobruntime: sample with a response stream; the rollout's own token as session token."""

import json

import boto3
import desk

runtime = boto3.client(
    "sagemakerjobruntime",
    endpoint_url=desk.endpoint,
    region_name=desk.metadata["region"],
    aws_access_key_id="any",
    aws_secret_access_key="any",
    aws_session_token=desk.metadata["api_key"],
)
names = {"JobArn": desk.metadata["job_arn"], "TrajectoryId": desk.metadata["trajectory_id"]}
tools = [{"type": "function", "function": tool} for tool in desk.tools]
messages = [{"role": "system", "content": desk.system}, {"role": "user", "content": desk.prompt}]
for _ in range(desk.MAX_TURNS):
    body = json.dumps({"messages": messages, "tools": tools})
    message = {"role": "assistant", "content": "", "tool_calls": []}
    for line in runtime.sample_with_response_stream(**names, Body=body)["Body"].iter_lines():
        if not line.startswith(b"data: ") or line == b"data: [DONE]":
            continue
        for choice in json.loads(line[len(b"data: ") :])["choices"]:
            message["content"] += choice["delta"].get("content") or ""
            message["tool_calls"] += choice["delta"].get("tool_calls") or []
    calls = [(call, json.loads(call["function"]["arguments"])) for call in message["tool_calls"]]
    desk.saw(message["content"], [(call["function"]["name"], arguments) for call, arguments in calls])
    messages.append(message)
    if not calls:
        break
    for call, arguments in calls:
        result = desk.answer(call["function"]["name"], arguments)
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
runtime.complete_rollout(**names)
runtime.update_reward(**names, Rewards=[1.0])
desk.tell()
