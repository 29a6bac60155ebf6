"""Adapters with the frameworks that are installed; every one is run through whole episodes by ``make test-clients``."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from client.stub_gateway import JOB_ARN, Received, Reply, StubGateway
from turnwright.client import Rollout
from turnwright.client.adapters.anthropic import anthropic_client, async_anthropic_client
from turnwright.client.adapters.openai import async_openai_client, openai_client

MESSAGES = [{"role": "user", "content": "order: O3"}]


@pytest.fixture
def rollout(gateway: StubGateway) -> Rollout:
    return Rollout.from_payload(gateway.payload())


@pytest.fixture(autouse=True)
def foreign_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an agent's machine has in its environment must not reach the gateway, nor lead elsewhere."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, "a-vendors-secret")
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/vendor")


def assert_identified(call: Received, trajectory_id: str = "t-1") -> None:
    assert call.headers["authorization"] == f"Bearer key-of-{trajectory_id}"
    assert call.headers["x-amzn-sagemaker-job-arn"] == JOB_ARN
    assert call.headers["x-amzn-sagemaker-trajectory-id"] == trajectory_id
    assert "a-vendors-secret" not in call.headers.values()


class TestOpenAI:
    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("openai")

    def test_calls_carry_the_identity(self, rollout: Rollout, gateway: StubGateway) -> None:
        with openai_client(rollout, default_headers={"X-Mine": "1", "Authorization": "Bearer other"}) as client:
            reply = client.chat.completions.create(model="default", messages=MESSAGES)
        assert reply.choices[0].message.content == "t-1"
        [call] = gateway.received
        assert call.path == "/v1/chat/completions"
        assert call.headers["x-mine"] == "1"
        assert_identified(call)

    def test_a_busy_gateway_is_waited_for(self, rollout: Rollout, gateway: StubGateway) -> None:
        gateway.answers("/v1/chat/completions", *[Reply(status=429, headers={"retry-after-ms": "1"})] * 5)
        with openai_client(rollout) as client:
            client.chat.completions.create(model="default", messages=MESSAGES)
        assert len(gateway.received) == 6

    def test_concurrent_rollouts_in_plain_threads_keep_their_identity(self, gateway: StubGateway) -> None:
        rollouts = [Rollout.from_payload(gateway.payload(f"t-{number}")) for number in range(4)]
        with ThreadPoolExecutor(8) as pool:

            def ask(rollout: Rollout) -> set[str | None]:
                with openai_client(rollout) as client:

                    def once(_: int) -> str | None:
                        reply = client.chat.completions.create(model="default", messages=MESSAGES)
                        return reply.choices[0].message.content

                    # Threads of the agent's own, started inside the rollout, without any context.
                    with ThreadPoolExecutor(2) as inner:
                        return set(inner.map(once, range(4)))

            assert list(pool.map(ask, rollouts)) == [{f"t-{number}"} for number in range(4)]
        for call in gateway.received:
            assert_identified(call, call.headers["x-amzn-sagemaker-trajectory-id"])

    def test_asyncio(self, rollout: Rollout, gateway: StubGateway) -> None:
        async def main() -> str | None:
            async with async_openai_client(rollout) as client:
                reply = await client.chat.completions.create(model="default", messages=MESSAGES, **rollout.sampling)
                return reply.choices[0].message.content

        assert asyncio.run(main()) == "t-1"
        [call] = gateway.received
        assert_identified(call)
        assert (call.body["temperature"], call.body["top_p"], call.body["max_tokens"]) == (0.5, 0.9, 64)


class TestAnthropic:
    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("anthropic")

    def test_calls_carry_the_identity(self, rollout: Rollout, gateway: StubGateway) -> None:
        with anthropic_client(rollout) as client:
            reply = client.messages.create(model="default", max_tokens=8, messages=MESSAGES)
        assert reply.content[0].text == "t-1"
        [call] = gateway.received
        assert call.path == "/v1/messages"
        assert_identified(call)

    def test_asyncio(self, rollout: Rollout, gateway: StubGateway) -> None:
        async def main() -> str:
            async with async_anthropic_client(rollout) as client:
                reply = await client.messages.create(model="default", max_tokens=8, messages=MESSAGES)
                return reply.content[0].text

        assert asyncio.run(main()) == "t-1"
        assert_identified(gateway.received[0])
