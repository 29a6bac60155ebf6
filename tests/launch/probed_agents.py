"""Agents for the probe: one that keeps the contract, and one for each thing that can be wrong with an agent.

Each is a function of the payload, for a function agent or behind a server; all talk to the gateway as a client would,
over HTTP and with the standard library alone.
"""

import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from turnwright.client.server import RolloutServer

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_order",
            "description": "Looks an order up.",
            "parameters": {
                "type": "object",
                "properties": {
                    "order": {"type": "string"},
                    "fast": {"enum": [True, False]},
                    "note": {"type": "string"},
                },
                "required": ["order", "fast"],
            },
        },
    }
]
Payload = dict[str, Any]


class Refused(Exception):
    """The gateway said no."""


def post(payload: Payload, path: str, body: dict[str, Any] | bytes, **headers: str) -> dict[str, Any]:
    metadata = payload["metadata"]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {metadata['api_key']}", "Content-Type": "application/json", **headers}
    request = urllib.request.Request(metadata["endpoint"] + path, content, sent)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        with error:
            raise Refused(f"{error.code} {error.read().decode()}") from None


def complete(payload: Payload, **fields: str) -> None:
    post(payload, "/complete-rollout", {"TrajectoryId": payload["metadata"]["trajectory_id"], **fields})


def reward(payload: Payload, value: float = 1.0) -> None:
    post(payload, "/update-reward", {"TrajectoryId": payload["metadata"]["trajectory_id"], "Rewards": [value]})


def report(payload: Payload, value: float = 1.0) -> None:
    complete(payload)
    reward(payload, value)


def opening(payload: Payload) -> list[dict[str, Any]]:
    return [{"role": "system", "content": "Look orders up."}, {"role": "user", "content": payload["prompt"]}]


def ask(payload: Payload, messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    body = {"model": "default", "messages": messages, "tools": TOOLS, **fields}
    return post(payload, "/v1/chat/completions", body)["choices"][0]["message"]


def run_tool(call: dict[str, Any]) -> str:
    """Answer a call, whatever it is, in words that the policy can learn from."""
    function = call["function"]
    if function["name"] != "get_order":
        return f"error: there is no tool {function['name']}"
    arguments = json.loads(function["arguments"])
    return f"order {arguments['order']} is {'here' if arguments['fast'] else 'on its way'}"


def converse(
    payload: Payload, answer: Callable[[dict[str, Any]], str] = run_tool, **fields: Any
) -> list[dict[str, Any]]:
    messages = opening(payload)
    while (reply := ask(payload, messages, **fields)).get("tool_calls"):
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": answer(call)} for call in reply["tool_calls"]
        ]
        messages += [reply, *results]
    return [*messages, reply]


def sound(payload: Payload) -> None:
    converse(payload)
    report(payload)


def returns_reward(payload: Payload) -> float:
    converse(payload)
    return 0.5


def speaks_anthropic(payload: Payload) -> None:
    """Streams, with its rollout named by the base URL."""
    schema = TOOLS[0]["function"]
    tools = [{"name": schema["name"], "input_schema": schema["parameters"]}]
    question = {"role": "user", "content": payload["prompt"]}
    path = f"/t/{payload['metadata']['trajectory_id']}/v1/messages"
    body = {"model": "default", "max_tokens": 500, "messages": [question], "tools": tools}
    called = post(payload, path, body)["content"]
    call = next(block for block in called if block["type"] == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "here"}
    history = [question, {"role": "assistant", "content": called}, {"role": "user", "content": [result]}]
    read_stream(payload, path, {**body, "messages": history, "tools": [], "stream": True})
    report(payload)


def read_stream(payload: Payload, path: str, body: dict[str, Any]) -> bytes:
    metadata = payload["metadata"]
    headers = {"x-api-key": metadata["sampling_key"]}
    request = urllib.request.Request(metadata["endpoint"] + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def never_samples(payload: Payload) -> float:
    return 1.0


def wrong_key(payload: Payload) -> None:
    """What AWS's decorator does with a 403: nothing."""
    payload = {**payload, "metadata": {**payload["metadata"], "api_key": "sk-somebody-else"}}
    for call in (lambda: ask(payload, opening(payload)), lambda: report(payload)):
        try:
            call()
        except Refused:
            continue


def no_v1(payload: Payload) -> None:
    post(payload, "/chat/completions", {"model": "default", "messages": opening(payload)})


def names_nothing(payload: Payload) -> None:
    """Only where strangers are let in: no word of which rollout is meant."""
    as_stranger(payload, {})


def names_a_rollout_of_old(payload: Payload) -> None:
    as_stranger(payload, {"X-Amzn-SageMaker-Trajectory-Id": "t-0123"})


def is_a_stranger(payload: Payload) -> None:
    as_stranger(payload, {"X-Amzn-SageMaker-Trajectory-Id": payload["metadata"]["trajectory_id"]})
    report(payload)


def as_stranger(payload: Payload, headers: dict[str, str]) -> None:
    body = {"model": "default", "messages": opening(payload)}
    post(payload, "/v1/chat/completions", body, **{"Authorization": "Bearer sk-stranger", **headers})


def breaks(payload: Payload) -> None:
    ask(payload, opening(payload), tools=None)
    raise RuntimeError("out of coffee")


def asks_for_little(payload: Payload) -> None:
    ask(payload, opening(payload), tools=None, max_tokens=5)
    report(payload)


def hangs_up(payload: Payload) -> None:
    """Closes the connection with the first call on its way; the second one is read to its end."""
    endpoint = urlsplit(payload["metadata"]["endpoint"])
    body = json.dumps({"model": "default", "messages": opening(payload), "stream": True})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n"
    key = f"Authorization: Bearer {payload['metadata']['api_key']}\r\n\r\n"
    with socket.create_connection((endpoint.hostname, endpoint.port)) as line:
        line.sendall((head + key + body).encode())
    time.sleep(0.1)
    ask(payload, [{"role": "user", "content": "another question"}], tools=None)
    report(payload)


def without_tools(payload: Payload) -> None:
    for _ in range(2):
        ask(payload, opening(payload), tools=None)
    report(payload)


def ignores_tool_calls(payload: Payload) -> None:
    ask(payload, opening(payload))
    report(payload)


def goes_on_without_result(payload: Payload) -> None:
    reply = ask(payload, opening(payload))
    ask(payload, [*opening(payload), reply, {"role": "user", "content": "and?"}])
    report(payload)


def crashes_on_malformed(payload: Payload) -> None:
    def strict(call: dict[str, Any]) -> str:
        return {"get_order": run_tool}[call["function"]["name"]](call)

    converse(payload, strict)
    report(payload)


def crashes_on_unknown(payload: Payload) -> None:
    known = {"get_order": run_tool, "invalid_tool_call": run_tool}
    converse(payload, lambda call: known[call["function"]["name"]](call))
    report(payload)


def no_completion(payload: Payload) -> None:
    converse(payload)


def completes_alone(payload: Payload) -> None:
    converse(payload)
    complete(payload)


def rewards_first(payload: Payload) -> None:
    converse(payload)
    reward(payload)
    complete(payload)


def rewards_nan(payload: Payload) -> None:
    converse(payload)
    complete(payload)
    reward(payload, float("nan"))


def rewards_too_much(payload: Payload) -> None:
    converse(payload)
    complete(payload)
    reward(payload, 1e300)


def reports_twice(payload: Payload) -> None:
    sound(payload)
    for again in (complete, reward):
        try:
            again(payload)
        except Refused:
            continue


def retries(payload: Payload) -> None:
    ask(payload, opening(payload), tools=None)
    body = {"model": "default", "messages": opening(payload)}
    post(payload, "/v1/chat/completions", body, **{"x-stainless-retry-count": "1", "x-stainless-read-timeout": "5"})
    report(payload)


def is_late(payload: Payload) -> None:
    ask(payload, opening(payload), tools=None)
    time.sleep(0.4)
    report(payload)


def drops_thinking(payload: Payload) -> None:
    messages = opening(payload)
    while (reply := ask(payload, messages)).get("tool_calls"):
        reply.pop("reasoning_content", None)
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "no"} for call in reply["tool_calls"]]
        messages += [reply, *results]
    report(payload)


def edits_history(payload: Payload) -> None:
    messages = converse(payload)
    messages[2]["content"] = "[shortened]"
    ask(payload, [*messages, {"role": "user", "content": "and?"}])
    report(payload)


def odd_fields(payload: Payload) -> None:
    converse(payload, user="me", store=True)
    report(payload)


def wants_many(payload: Payload) -> None:
    converse(payload, n=3)


def talks_after_the_end(payload: Payload) -> None:
    sound(payload)
    try:
        ask(payload, opening(payload))
    except Refused:
        return


def never_ends(payload: Payload) -> None:
    messages = opening(payload)
    while True:
        messages += [ask(payload, messages, tools=None), {"role": "user", "content": "say DONE"}]


def skips(payload: Payload) -> dict[str, str]:
    return {"status": "skipped"}


current: Payload = {}
"""What a careless agent keeps in a global."""
history: list[dict[str, Any]] = []


def keeps_identity_in_a_global(payload: Payload) -> None:
    global current
    current = payload
    time.sleep(0.1)
    ask(current, opening(payload), tools=None)
    time.sleep(0.1)
    try:
        report(current)
    except Refused:
        return


def keeps_the_first_identity(payload: Payload) -> None:
    global current
    current = current or payload
    ask(current, opening(payload), tools=None)
    report(current)


def mixes_header_and_key(payload: Payload) -> None:
    global current
    current = current or payload
    header = {"X-Amzn-SageMaker-Trajectory-Id": current["metadata"]["trajectory_id"]}
    post(payload, "/v1/chat/completions", {"model": "default", "messages": opening(payload)}, **header)
    report(payload)


def keeps_history_in_a_global(payload: Payload) -> None:
    history.append({"role": "user", "content": payload["prompt"]})
    history.append(ask(payload, list(history), tools=None))
    report(payload)


def handler(event: Payload, context: Any) -> dict[str, str]:
    """Takes the rollout and answers at once, as a forwarder to an agent elsewhere does."""
    threading.Thread(target=sound, args=(event,)).start()
    return {}


@contextmanager
def serving(handler: Callable[[Payload], Any], *, wait: bool = False) -> Iterator[str]:
    """Give the URL of an agent behind HTTP; what it raises is answered with 500 where it is waited for."""
    with RolloutServer(handler, port=0, wait=wait) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    sound(json.loads(os.environ["TURNWRIGHT_ROLLOUT"]))
