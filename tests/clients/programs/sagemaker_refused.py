"""sagemaker.train.rft: the decorator when the gateway refuses its keys, beside a client whose own key is right."""

import logging

import desk
from openai import OpenAI
from sagemaker.train.rft import sagemaker_rft_handler

logging.basicConfig()


@sagemaker_rft_handler
def invoke_agent(payload):
    client = OpenAI(base_url=f"{desk.endpoint}/v1", api_key=payload["metadata"]["api_key"])
    messages = [{"role": "user", "content": payload["prompt"]}]
    completion = client.chat.completions.create(model="default", messages=messages)
    desk.saw(completion.choices[0].message.content)
    return {"reward": 1.0}


invoke_agent(desk.request)
desk.tell()
