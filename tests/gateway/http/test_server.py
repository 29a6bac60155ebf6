"""The server on real sockets: it starts, answers, stops and leaves nothing behind."""

import asyncio
import socket
import ssl
from pathlib import Path

import httpx2
import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from turnwright.core.errors import ConfigError
from turnwright.gateway.http.server import GatewayServer, Tls, bind, is_loopback, require_safe_binding


async def peer(request: Request) -> PlainTextResponse:
    assert request.client is not None
    return PlainTextResponse(request.client.host)


async def hang(request: Request) -> PlainTextResponse:
    await asyncio.sleep(3600)
    return PlainTextResponse("")


APP = Starlette(routes=[Route("/peer", peer), Route("/hang", hang)])


def test_it_answers_and_leaves_no_task_and_no_socket() -> None:
    async def serve() -> None:
        before = asyncio.all_tasks()
        listener = bind()
        async with GatewayServer(APP, listener) as server, httpx2.AsyncClient(base_url=server.url) as client:
            assert (await client.get("/peer")).text == "127.0.0.1"
        assert asyncio.all_tasks() == before
        assert listener.socket.fileno() == -1
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{listener.url}/peer")

    asyncio.run(serve())


def test_the_body_of_an_answer_never_waits_for_the_acknowledgement_of_its_head() -> None:
    async def run() -> None:
        accepted = asyncio.Queue[asyncio.StreamWriter]()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await accepted.put(writer)

        listener = bind()
        async with await asyncio.start_server(accept, sock=listener.socket):
            _, client = await asyncio.open_connection(listener.host, listener.port)
            writer = await accepted.get()
            assert writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            client.close()
            writer.close()

    asyncio.run(run())


@pytest.mark.slow
def test_a_hundred_servers_come_and_go_in_one_loop() -> None:
    async def serve_one() -> None:
        async with GatewayServer(APP, bind()) as server, httpx2.AsyncClient() as client:
            assert (await client.get(f"{server.url}/peer")).status_code == 200

    async def serve() -> None:
        before = asyncio.all_tasks()
        for _ in range(5):
            await asyncio.gather(*(serve_one() for _ in range(20)))
        assert asyncio.all_tasks() == before

    asyncio.run(serve())


def test_a_request_that_never_ends_is_cancelled_after_the_grace_period() -> None:
    async def serve() -> None:
        before = asyncio.all_tasks()
        async with httpx2.AsyncClient() as client:
            async with GatewayServer(APP, bind(), grace_seconds=0.2) as server:
                hanging = asyncio.create_task(client.get(f"{server.url}/hang"))
                await asyncio.sleep(0.2)
            with pytest.raises(httpx2.HTTPError):
                (await asyncio.wait_for(hanging, 5)).raise_for_status()
        assert asyncio.all_tasks() == before

    asyncio.run(serve())


def test_the_peers_address_is_never_taken_from_a_header() -> None:
    async def serve() -> str:
        async with GatewayServer(APP, bind()) as server, httpx2.AsyncClient() as client:
            headers = {"X-Forwarded-For": "10.0.0.9", "Forwarded": "for=10.0.0.9"}
            return (await client.get(f"{server.url}/peer", headers=headers)).text

    assert asyncio.run(serve()) == "127.0.0.1"


def test_a_port_in_use_is_named() -> None:
    listener = bind()
    try:
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{listener.port}"):
            bind("127.0.0.1", listener.port)
    finally:
        listener.close()


def test_a_host_of_another_machine_is_named() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        bind("192.0.2.1", 0)


def test_a_free_port_never_contains_the_digits_that_mean_not_found() -> None:
    listeners = [bind() for _ in range(200)]
    try:
        assert not [listener.url for listener in listeners if "404" in listener.url]
    finally:
        for listener in listeners:
            listener.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_the_url_of_an_ipv6_address_has_brackets() -> None:
    listener = bind("::1")
    listener.close()
    assert listener.url == f"http://[::1]:{listener.port}"


def test_https(tmp_path: Path) -> None:
    tls = Tls(certificate=tmp_path / "certificate.pem", key=tmp_path / "key.pem")
    authority = trustme.CA()
    server_certificate = authority.issue_cert("127.0.0.1")
    server_certificate.private_key_pem.write_to_path(tls.key)
    for number, link in enumerate(server_certificate.cert_chain_pems):
        link.write_to_path(tls.certificate, append=number > 0)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)

    async def serve() -> str:
        async with GatewayServer(APP, bind(tls=tls)) as server, httpx2.AsyncClient(verify=trust) as client:
            assert server.url.startswith("https://")
            return (await client.get(f"{server.url}/peer")).text

    assert asyncio.run(serve()) == "127.0.0.1"


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    listener = bind(tls=Tls(certificate=tmp_path / "none.pem", key=tmp_path / "none.key"))
    with pytest.raises(ConfigError, match=r"none\.pem"):
        GatewayServer(APP, listener)
    assert listener.socket.fileno() == -1


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_only_safe_bindings_pass() -> None:
    require_safe_binding("127.0.0.1", tls=False, accept_unscoped=True)
    require_safe_binding("0.0.0.0", tls=True, accept_unscoped=False)
    require_safe_binding("0.0.0.0", tls=False, accept_unscoped=False, allow_plain_http=True)
    with pytest.raises(ConfigError, match="unencrypted"):
        require_safe_binding("0.0.0.0", tls=False, accept_unscoped=False)
    with pytest.raises(ConfigError, match="accept_unscoped"):
        require_safe_binding("0.0.0.0", tls=True, accept_unscoped=True)
