"""No client at all: HTTP and JSON with the standard library, the identity in headers."""

import json
import urllib.request

import desk


def post(path, body):
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {desk.metadata['api_key']}",
        "X-Amzn-SageMaker-Job-Arn": desk.metadata["job_arn"],
        "X-Amzn-SageMaker-Trajectory-Id": desk.metadata["trajectory_id"],
    }
    request = urllib.request.Request(desk.endpoint + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


tools = [{"type": "function", "function": tool} for tool in desk.tools]
messages = [{"role": "system", "content": desk.system}, {"role": "user", "content": desk.prompt}]
for _ in range(desk.MAX_TURNS):
    message = post("/v1/chat/completions", {"messages": messages, "tools": tools})["choices"][0]["message"]
    calls = [(call, json.loads(call["function"]["arguments"])) for call in message.get("tool_calls") or []]
    desk.saw(message["content"], [(call["function"]["name"], arguments) for call, arguments in calls])
    messages.append(message)
    if not calls:
        break
    for call, arguments in calls:
        result = desk.answer(call["function"]["name"], arguments)
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
trajectory = desk.metadata["trajectory_id"]
post("/complete-rollout", {"TrajectoryId": trajectory, "Status": "ready", "ClientToken": "sealing"})
post("/update-reward", {"TrajectoryId": trajectory, "Rewards": [0.5], "Components": {"answer": 0.5}})
desk.tell()
