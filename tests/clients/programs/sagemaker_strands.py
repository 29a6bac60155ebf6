"""sagemaker.train.rft: the decorator with its Strands wrapper."""

import asyncio

import desk
from sagemaker.core.token_generator import generate_token
from sagemaker.train.rft import sagemaker_rft_handler
from sagemaker.train.rft.adapters.strands import wrap_model
from strands import Agent, tool
from strands.models.openai import OpenAIModel

tools = [tool(desk.get_order), tool(desk.get_customer), tool(desk.get_item)]


@sagemaker_rft_handler
async def invoke_agent(payload):
    token = generate_token(region=payload["metadata"]["region"])
    model = OpenAIModel(client_args={"api_key": token, "base_url": f"{desk.endpoint}/v1"}, model_id="default")
    agent = Agent(model=wrap_model(model), tools=tools, system_prompt=desk.system, callback_handler=None)
    await agent.invoke_async(payload["prompt"])
    for message in agent.messages:
        if message["role"] == "assistant":
            text = "".join(block.get("text", "") for block in message["content"])
            calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
            desk.saw(text, [(call["name"], call["input"]) for call in calls])
    return {"reward": 1.0}


asyncio.run(invoke_agent(desk.request))
desk.tell()
