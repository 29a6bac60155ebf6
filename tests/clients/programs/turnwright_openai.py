"""turnwright.client: the decorator and the OpenAI adapter, one reward per turn; the calls are made in threads."""

import json

import desk

from turnwright.client import RolloutExecutor, current_rollout, rollout_handler
from turnwright.client.adapters.openai import openai_client


def ask(messages):
    tools = [{"type": "function", "function": tool} for tool in desk.tools]
    client = openai_client(current_rollout())
    return client.chat.completions.create(model="default", messages=messages, tools=tools).choices[0].message


@rollout_handler
def solve(rollout):
    messages = [{"role": "system", "content": desk.system}, {"role": "user", "content": rollout.prompt}]
    rewards = []
    with RolloutExecutor(1) as threads:
        for _ in range(desk.MAX_TURNS):
            message = threads.submit(ask, messages).result()
            calls = [(call, json.loads(call.function.arguments)) for call in message.tool_calls or []]
            desk.saw(message.content, [(call.function.name, arguments) for call, arguments in calls])
            messages.append(message)
            rewards.append(0.5)
            if not calls:
                break
            for call, arguments in calls:
                result = desk.answer(call.function.name, arguments)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return rewards


solve(desk.request)
desk.tell()
