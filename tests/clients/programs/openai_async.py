"""openai: the asyncio client, reached by the URL of the trajectory, with its streaming helper."""

import asyncio
import json

import desk
from openai import AsyncOpenAI


async def main() -> None:
    client = AsyncOpenAI(
        base_url=f"{desk.endpoint}/t/{desk.metadata['trajectory_id']}/v1", api_key=desk.metadata["api_key"]
    )
    tools = [{"type": "function", "function": tool} for tool in desk.tools]
    messages = [{"role": "system", "content": desk.system}, {"role": "user", "content": desk.prompt}]
    for _ in range(desk.MAX_TURNS):
        async with client.chat.completions.stream(model="default", messages=messages, tools=tools) as stream:
            completion = await stream.get_final_completion()
        message = completion.choices[0].message
        calls = [(call, json.loads(call.function.arguments)) for call in message.tool_calls or []]
        desk.saw(message.content, [(call.function.name, arguments) for call, arguments in calls])
        messages.append(message.to_dict())
        if not calls:
            break
        for call, arguments in calls:
            result = desk.answer(call.function.name, arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


asyncio.run(main())
desk.report(1.0)
