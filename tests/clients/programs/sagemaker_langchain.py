"""sagemaker.train.rft: the decorator with its LangChain hook (the synchronous one) under a LangGraph agent."""

import desk
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from sagemaker.core.token_generator import generate_token
from sagemaker.train.rft import sagemaker_rft_handler
from sagemaker.train.rft.adapters.langchain import create_http_client


@sagemaker_rft_handler
def invoke_agent(payload):
    model = ChatOpenAI(
        model="default",
        base_url=f"{desk.endpoint}/v1",
        api_key=generate_token(region=payload["metadata"]["region"]),
        http_client=create_http_client(),
    )
    agent = create_agent(model, [desk.get_order, desk.get_customer, desk.get_item], system_prompt=desk.system)
    result = agent.invoke({"messages": [{"role": "user", "content": payload["prompt"]}]})
    for message in result["messages"]:
        if message.type == "ai":
            desk.saw(message.content, [(call["name"], call["args"]) for call in message.tool_calls])
    return {"reward": 1.0}


invoke_agent(desk.request)
desk.tell()
