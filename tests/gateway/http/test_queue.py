"""Workers that fetch rollouts over HTTP."""

import asyncio

import httpx2
import pytest

from gateway.http.serving import Served, serving


def headers(served: Served) -> dict[str, str]:
    return {"Authorization": f"Bearer {served.credentials.mint(None, ('sample', 'reward'))}"}


async def fetch(served: Served, query: str = "wait=0.05") -> httpx2.Response:
    return await served.client.get(f"/rollouts/next?{query}", headers=headers(served))


def test_a_worker_fetches_a_rollout_and_keeps_its_lease() -> None:
    async def run() -> None:
        async with serving() as served:
            assert (await fetch(served)).status_code == 204
            _, request = await served.open()
            polling = asyncio.create_task(fetch(served, "wait=5&worker=w1"))
            await asyncio.sleep(0.05)
            await served.queue.put(request)
            answer = await polling
            assert (answer.status_code, answer.json()) == (200, request.payload())
            path = f"/rollouts/{request.trajectory_id}/heartbeat"
            kept = await served.client.post(f"{path}?worker=w1", headers=headers(served))
            assert (kept.status_code, kept.json()) == (200, {"lease": "renewed"})
            lost = await served.client.post(f"{path}?worker=w2", headers=headers(served))
            assert (lost.status_code, lost.json()["__type"]) == (409, "ConflictException")
            served.queue.release(request.trajectory_id)
            assert (await served.client.post(f"{path}?worker=w1", headers=headers(served))).status_code == 409

    asyncio.run(run())


def test_a_worker_that_hangs_up_takes_no_rollout() -> None:
    async def run() -> None:
        async with serving() as served:
            _, request = await served.open()
            with pytest.raises(httpx2.ReadTimeout):
                await served.client.get("/rollouts/next?wait=20", headers=headers(served), timeout=0.2)
            await asyncio.sleep(0.1)
            await served.queue.put(request)
            assert (await fetch(served)).json() == request.payload()

    asyncio.run(run())


def test_a_worker_needs_a_credential_of_the_job() -> None:
    async def run() -> None:
        async with serving() as served:
            _, request = await served.open()
            await served.queue.put(request)
            for key in (request.api_key, served.credentials.mint(None, ("control",)), "none"):
                authorization = {"Authorization": f"Bearer {key}"}
                for method, path in (("GET", "/rollouts/next"), ("POST", "/rollouts/t-1/heartbeat")):
                    answer = await served.client.request(method, path, headers=authorization)
                    assert (answer.status_code, answer.json()["__type"]) == (403, "AccessDeniedException")

    asyncio.run(run())


@pytest.mark.parametrize("query", ["wait=soon", "wait=nan", "wait=-1", "wait=61", "worker=", "worker=" + "w" * 257])
def test_a_wrong_wait_or_name_is_refused(query: str) -> None:
    async def run() -> None:
        async with serving() as served:
            answer = await fetch(served, query)
            assert answer.status_code == 400
            assert answer.json()["message"].startswith(query.partition("=")[0])

    asyncio.run(run())
