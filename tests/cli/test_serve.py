"""A served checkpoint answers OpenAI's and Anthropic's own clients."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import anthropic
import httpx2
import openai
import pytest

KEY = "a-key-of-ours"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_order",
        "description": "Look an order up.",
        "parameters": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
    },
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    command = [sys.executable, "-m", "turnwright.cli", "serve", "tiny", "--port", "0", "--json", "--api-key", KEY]
    command += ["sampling.max_sequence_length=512", "sampling.sampling_max_tokens=32"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


@pytest.mark.slow
def test_the_same_seed_gives_the_same_reply_whole_or_streamed(client: openai.OpenAI) -> None:
    asked = {"model": "default", "messages": [{"role": "user", "content": "order: O3"}], "seed": 7, "tools": [TOOL]}
    whole = client.chat.completions.create(**asked).choices[0].message
    again = client.chat.completions.create(**asked).choices[0].message
    with client.chat.completions.stream(**asked) as stream:
        streamed = stream.get_final_completion().choices[0].message
    assert (whole.content or "") == (again.content or "") == (streamed.content or "")
    calls = [[(call.function.name, call.function.arguments) for call in m.tool_calls or ()] for m in (whole, streamed)]
    assert calls[0] == calls[1]


@pytest.mark.slow
def test_every_dialect_answers(client: openai.OpenAI, url: str) -> None:
    response = client.responses.create(model="default", input="order: O3", max_output_tokens=8)
    assert response.usage is not None
    assert 0 < response.usage.output_tokens <= 8
    with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as claude:
        message = claude.messages.create(
            model="default", max_tokens=8, messages=[{"role": "user", "content": "order: O3"}]
        )
        assert 0 < message.usage.output_tokens <= 8
        assert (
            claude.messages.count_tokens(
                model="default", messages=[{"role": "user", "content": "order: O3"}]
            ).input_tokens
            == message.usage.input_tokens
        )
    assert [model.id for model in client.models.list()] == ["default", "tiny"]
    numbers = dict(line.split() for line in httpx2.get(f"{url}/metrics").text.splitlines() if line[0] != "#")
    assert float(numbers["turnwright_sampled_tokens_total"]) >= message.usage.output_tokens


@pytest.mark.slow
def test_what_it_cannot_do_is_said(client: openai.OpenAI, url: str) -> None:
    with pytest.raises(openai.BadRequestError, match="or send the whole conversation"):
        client.responses.create(model="default", input="go on", previous_response_id="resp_s-1_0")
    stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="another", max_retries=0)
    with stranger, pytest.raises(openai.PermissionDeniedError, match="API key is missing or wrong"):
        stranger.chat.completions.create(model="default", messages=[{"role": "user", "content": "hi"}])
