import socket
import threading

from client.stub_gateway import Reply, StubGateway
from turnwright.client.transport import Answer, NoAnswer, exchange


def get(url: str, seconds: float = 5.0) -> Answer | NoAnswer:
    return exchange("GET", url, headers={"Authorization": "Bearer secret"}, body=b"", seconds=seconds)


def test_answers_of_every_status_come_back(gateway: StubGateway) -> None:
    gateway.answers("/a", Reply(status=429, body="wait", headers={"Retry-After": "7"}), Reply(status=204, body=""))
    assert get(gateway.url + "/a") == Answer(status=429, body=b"wait", retry_after="7")
    assert get(gateway.url + "/a") == Answer(status=204, body=b"")


def test_a_redirect_does_not_carry_the_token_elsewhere(gateway: StubGateway) -> None:
    with StubGateway() as elsewhere:
        gateway.answers("/a", Reply(status=307, headers={"Location": elsewhere.url + "/a"}))
        answer = get(gateway.url + "/a")
    assert isinstance(answer, Answer)
    assert answer.status == 307
    assert elsewhere.received == []


def test_the_message_is_the_gateways_own_words() -> None:
    def message(body: str) -> str:
        return Answer(status=400, body=body.encode()).message

    assert message('{"message": "a", "error": {"message": "b"}}') == "a"
    assert message('{"Message": "a"}') == "a"
    assert message('{"error": {"message": "b"}}') == "b"
    assert message('{"error": "c"}') == "c"
    assert message('{"error": 7}') == '{"error": 7}'
    assert message('["d"]') == '["d"]'
    assert message("<html>" + "x" * 1000) == "<html>" + "x" * 494
    assert message("") == "(empty body)"


def test_a_refused_connection_cannot_have_arrived() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        outcome = get(f"http://127.0.0.1:{unused.getsockname()[1]}/a")
    assert isinstance(outcome, NoAnswer)
    assert outcome.message.startswith("ConnectionRefusedError")
    assert not outcome.may_have_arrived


def test_a_lost_answer_may_have_arrived(gateway: StubGateway) -> None:
    gateway.answers("/a", Reply(drop=True))
    outcome = get(gateway.url + "/a")
    assert isinstance(outcome, NoAnswer)
    assert outcome.may_have_arrived


def test_silence_ends_after_the_time_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outcome = get(f"http://127.0.0.1:{silent.getsockname()[1]}/a", seconds=0.05)
    assert isinstance(outcome, NoAnswer)
    assert "timed out" in outcome.message
    assert outcome.may_have_arrived


def test_half_an_answer_is_none() -> None:
    def answer_half(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_half, args=(server,))
        thread.start()
        outcome = get(f"http://127.0.0.1:{server.getsockname()[1]}/a")
        thread.join()
    assert isinstance(outcome, NoAnswer)
    assert outcome.message.startswith("IncompleteRead")
