import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from gateway.at_work import (
    JOB,
    KEY,
    OPENING,
    TASK,
    TOOLS,
    HeldBackEngine,
    ListLog,
    call,
    caller,
    make_gateway,
    open_session,
    user,
)
from turnwright.core.errors import RunDirectoryError
from turnwright.core.message import Message
from turnwright.gateway.calls import Call
from turnwright.gateway.credentials import Credentials
from turnwright.gateway.gateway import JOB_HEADER, TRAJECTORY_HEADER, Gateway
from turnwright.gateway.limits import Admission, GatewayLimits, TokenBucket
from turnwright.gateway.refusals import Refusal
from turnwright.gateway.session import Session
from turnwright.inference.scripted import ScriptedEngine
from turnwright.rendering.renderer import Renderer
from turnwright.rundir.gateway_records import Opened

OTHER_JOB = "arn:aws:sagemaker:local:000000000000:job/AgentRFT/other"


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await work()

    asyncio.run(limited())


def scripted(renderer: Renderer) -> ScriptedEngine:
    return ScriptedEngine(renderer.tokenizer, lambda request: f"reply {request.turn}")


async def end(session: Session) -> None:
    await call(session)
    await session.complete("ready", None)
    await session.reward([1.0], None)


def test_opening_is_logged_and_the_engine_is_told_if_asked(renderer: Renderer):
    async def work() -> None:
        log, engine = ListLog(), scripted(renderer)
        gateway = make_gateway(renderer, engine, log)
        session = await open_session(gateway)
        (opened,) = log.records
        assert isinstance(opened, Opened)
        assert (opened.trajectory_id, opened.key, opened.task, opened.job_arn) == (
            session.trajectory_id,
            KEY,
            TASK,
            JOB,
        )
        assert engine.open_episodes == {KEY}
        await end(session)
        assert engine.open_episodes == set()
        await gateway.open(TASK, KEY, sampling=session.sampling)
        assert engine.open_episodes == set()

    run(work)


def test_a_trajectory_may_have_a_turn_limit_of_its_own(renderer: Renderer):
    async def work() -> None:
        gateway = make_gateway(renderer, scripted(renderer), limits=GatewayLimits(max_turns=1))
        short, longer = await open_session(gateway), await open_session(gateway, max_turns=2)
        for session, allowed in ((short, 1), (longer, 2)):
            for _ in range(allowed):
                await call(session)
            with pytest.raises(Refusal, match=f"has made all {allowed} model calls"):
                await call(session)

    run(work)


def test_a_trajectory_that_cannot_be_logged_is_not_open(renderer: Renderer):
    async def work() -> None:
        gateway = make_gateway(renderer, scripted(renderer), ListLog(broken=True))
        with pytest.raises(RunDirectoryError):
            await open_session(gateway)
        assert gateway.gauges()["trajectories_held"] == 0

    run(work)


def test_the_rollout_request_shows_public_columns_only(renderer: Renderer):
    async def work() -> None:
        gateway = make_gateway(renderer, scripted(renderer))
        session = await open_session(gateway, public_columns=["shop", "absent"])
        request = gateway.request_for(session)
        assert request.instance == {"shop": "Cologne"}
        assert "refund" not in str(request.payload())
        assert (request.prompt, request.trajectory_id, request.job_arn) == ("order: O3", session.trajectory_id, JOB)
        assert (request.temperature, request.top_p, request.max_tokens) == (0.7, 1.0, 64)
        assert gateway.line(caller(request.api_key)) is session
        assert gateway.authorize(caller(request.api_key), "reward", session.trajectory_id) is session
        assert gateway.line(caller(request.sampling_key)) is session
        with pytest.raises(Refusal, match="scope missing"):
            gateway.authorize(caller(request.sampling_key), "reward", session.trajectory_id)

    run(work)


def test_names_in_header_path_body_and_token_must_agree(renderer: Renderer):
    async def work() -> None:
        gateway = make_gateway(renderer, scripted(renderer))
        mine, other = [await open_session(gateway, replace(TASK, id=name)) for name in ("mine", "other")]
        token = gateway.request_for(mine).api_key
        control = gateway.credentials.mint(None, ("sample", "reward", "control"))
        here, there = mine.trajectory_id, other.trajectory_id
        header = {TRAJECTORY_HEADER.replace("-", "_"): here}
        for agreeing in (
            caller(token),
            caller(token, **header),
            caller(token, path_trajectory_id=here),
            caller(control, **header),
            caller(control, path_trajectory_id=here),
        ):
            assert gateway.authorize(agreeing, "reward", here) is mine
            assert gateway.line(agreeing) is mine
        for forged in (
            caller(token, path_trajectory_id=there),
            caller(token, **{TRAJECTORY_HEADER: there}),
            caller(control, path_trajectory_id=there, **header),
            caller(token, **{JOB_HEADER: OTHER_JOB}),
            caller(),
        ):
            with pytest.raises(Refusal) as raised:
                gateway.line(forged)
            assert raised.value.code == "access_denied"
        with pytest.raises(Refusal, match="other trajectory"):
            gateway.authorize(caller(token), "reward", there)
        with pytest.raises(Refusal, match=r"body .* header"):
            gateway.authorize(caller(control, **header), "reward", there)

    run(work)


@pytest.mark.parametrize(
    ("trajectory_id", "code"), [(None, "validation"), ("", "validation"), ("t-unknown", "not_found")]
)
def test_a_call_must_name_a_known_trajectory(renderer: Renderer, trajectory_id: str | None, code: str):
    async def work() -> None:
        gateway = make_gateway(renderer, scripted(renderer))
        control = gateway.credentials.mint(None, ("sample",))
        with pytest.raises(Refusal) as raised:
            gateway.authorize(caller(control, path_trajectory_id=trajectory_id), "sample", None)
        assert raised.value.code == code

    run(work)


def test_a_token_of_another_job_is_refused(renderer: Renderer):
    async def work() -> None:
        gateway = make_gateway(renderer, scripted(renderer))
        session = await open_session(gateway)
        foreign = Credentials(job_arn=OTHER_JOB).mint(session.trajectory_id, ("sample",))
        with pytest.raises(Refusal) as raised:
            gateway.line(caller(foreign))
        assert raised.value.code == "access_denied"

    run(work)


def test_calls_wait_out_a_pause_and_calls_in_work_go_on(renderer: Renderer):
    async def work() -> None:
        engine = HeldBackEngine(renderer, lambda request: "reply")
        gateway = make_gateway(renderer, engine, limits=GatewayLimits(max_waiting=2))
        session = await open_session(gateway)
        running = await session.ask(Call(messages=OPENING))
        async with gateway.paused(), gateway.paused():
            waiting = asyncio.create_task(call(session))
            await asyncio.sleep(0.01)
            assert (gateway.gauges()["calls_in_work"], gateway.gauges()["calls_waiting"]) == (1, 1)
            with pytest.raises(Refusal) as raised:
                await session.ask(Call(messages=OPENING))
            assert (raised.value.code, raised.value.reason) == ("throttled", "busy")
            assert raised.value.retry_after
            engine.let.set()
            assert (await running.answer()).turn == 0
            assert len(engine.requests) == 1
        assert (await waiting).turn == 1
        await asyncio.sleep(0)
        assert gateway.gauges()["calls_in_work"] == 0

    run(work)


def test_who_hangs_up_during_a_pause_finds_the_call_again(renderer: Renderer):
    async def work() -> None:
        gateway = make_gateway(renderer, scripted(renderer))
        session = await open_session(gateway)
        async with gateway.paused():
            first = asyncio.create_task(session.ask(Call(messages=OPENING, tools=TOOLS)))
            await asyncio.sleep(0.01)
            first.cancel()
            again = asyncio.create_task(call(session, mark=replace(Call(messages=()).mark, is_retry=True)))
            await asyncio.sleep(0.01)
        await again
        assert (session.num_calls, session.num_retries) == (1, 1)

    run(work)


def test_an_abort_frees_calls_that_wait(renderer: Renderer):
    async def work() -> None:
        gateway = make_gateway(renderer, scripted(renderer))
        session = await open_session(gateway)
        async with gateway.paused():
            waiting = asyncio.create_task(call(session))
            await asyncio.sleep(0.01)
            await session.abort("timeout", "too late")
            with pytest.raises(Refusal, match="Cannot transition trajectory"):
                await waiting
            assert gateway.gauges()["calls_waiting"] == 0

    run(work)


def test_only_so_many_are_open_at_once(renderer: Renderer):
    async def work() -> None:
        gateway = make_gateway(renderer, scripted(renderer), limits=GatewayLimits(max_open=1))
        first = await open_session(gateway)
        with pytest.raises(Refusal) as raised:
            await open_session(gateway)
        assert (raised.value.code, raised.value.retry_after) == ("throttled", 5.0)
        await end(first)
        gateway.drop(first)
        await open_session(gateway)

    run(work)


def test_a_late_call_to_what_was_dropped_learns_its_state(renderer: Renderer):
    async def work() -> None:
        gateway = make_gateway(renderer, scripted(renderer))
        session = await open_session(gateway)
        token = gateway.request_for(session).api_key
        await session.complete("failed", None)
        gateway.drop(session)
        gateway.drop(session)
        late = gateway.line(caller(token))
        with pytest.raises(Refusal, match="Cannot transition trajectory"):
            await late.ask(Call(messages=OPENING))
        # AWS's decorator rewards what it has just failed.
        await gateway.authorize(caller(token), "reward", session.trajectory_id).reward([0.0], None)

    run(work)


def test_prompt_tokens_are_counted_by_the_runs_tokenizer(renderer: Renderer):
    async def work() -> None:
        gateway = make_gateway(renderer, scripted(renderer))
        assert gateway.count_prompt_tokens(OPENING, TOOLS) == len(renderer.prompt_ids(OPENING, TOOLS))
        assert gateway.model_names == ("default", "tiny")
        with pytest.raises(Refusal) as raised:
            gateway.count_prompt_tokens([Message(role="user", content="\ud800")], ())
        assert (raised.value.code, raised.value.reason) == ("validation", "template")

    run(work)


def test_totals_add_up(renderer: Renderer):
    async def work() -> None:
        gateway: Gateway = make_gateway(renderer, scripted(renderer))
        for ends in ("ready", "failed"):
            session = await open_session(gateway, replace(TASK, id=ends))
            first = await call(session)
            exchange = await session.ask(Call(messages=(*OPENING, first.message, user("and?")), tools=TOOLS))
            gone = asyncio.create_task(exchange.answer())
            await asyncio.sleep(0)
            gone.cancel()
            if ends == "failed":
                await session.complete("failed", None)
            else:
                await session.complete("ready", None)
                await session.reward([1.0], None)
        gauges = gateway.gauges()
        assert (gauges["trajectories_failed_total"], gauges["trajectories_rewarded_total"]) == (1, 1)
        assert (gauges["calls_total"], gauges["turns_abandoned_total"], gauges["trajectories_open"]) == (4, 2, 0)

    run(work)


def test_a_bucket_fills_at_its_rate():
    now = [0.0]
    bucket = TokenBucket(2.0, clock=lambda: now[0])
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 0.5]
    now[0] = 0.5
    assert [bucket.take(), bucket.take()] == [0.0, 0.5]
    now[0] = 100.0
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 0.5]
    slow = TokenBucket(0.1, clock=lambda: now[0])
    assert [slow.take(), slow.take()] == [0.0, pytest.approx(10.0)]


def test_pauses_may_overlap():
    async def work() -> None:
        admission = Admission(4)
        first, second = admission.paused(), admission.paused()
        await first.__aenter__()
        await second.__aenter__()
        ready = asyncio.create_task(admission.ready())
        await first.__aexit__(None, None, None)
        await asyncio.sleep(0)
        assert not ready.done()
        await second.__aexit__(None, None, None)
        await ready

    run(work)
