"""Health and metrics: real servers on loopback, asked by real clients and by hostile ones."""

import http.client
import re
import socket
from collections.abc import Iterator

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.supervision.grpc_health import SERVICE, GrpcHealth
from fedehr_client.supervision.http_health import HttpHealth
from fedehr_client.supervision.metrics import NodeNumbers, metrics_text
from fedehr_shared.errors import NetworkError

LINE = re.compile(
    r'fedehr_node_[a-z_]+(\{[a-z]+="[^"\\\n]*(\\["\\n][^"\\\n]*)*"\})? (\+Inf|-?[0-9.e+-]+)'
)


@pytest.fixture(scope="module")
def unready() -> list[str]:
    return []


@pytest.fixture(scope="module")
def server(unready: list[str]) -> Iterator[HttpHealth]:
    made = HttpHealth(0, lambda: unready[0] if unready else None, lambda: "numbers 1\n")
    yield made
    made.stop()


def _ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        link.request(method, path, headers=headers)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def test_the_three_pages(server: HttpHealth, unready: list[str]) -> None:
    assert _ask(server.port, "/healthz") == (200, "ok\n")
    assert _ask(server.port, "/metrics") == (200, "numbers 1\n")
    assert _ask(server.port, "/readyz?verbose") == (200, "ready\n")
    unready.append("paused")
    assert _ask(server.port, "/readyz") == (503, "paused\n")
    assert _ask(server.port, "/healthz") == (200, "ok\n")
    assert _ask(server.port, "/readyz", "HEAD") == (503, "")
    unready.clear()
    assert _ask(server.port, "/")[0] == 404
    assert _ask(server.port, "/metrics", "POST")[0] == 501


def test_it_listens_on_loopback_only(server: HttpHealth) -> None:
    listening = [
        link.laddr.ip
        for link in psutil.Process().net_connections("tcp")
        if link.status == psutil.CONN_LISTEN and link.laddr.port == server.port
    ]
    assert listening == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:{port}", "127.0.0.1:{port}", "[::1]:9"])
def test_names_of_this_machine_are_answered(server: HttpHealth, host: str) -> None:
    assert _ask(server.port, "/healthz", Host=host.format(port=server.port))[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example:1",
     "evil.example:localhost", "localhost:", "127.0.0.1:80@evil.example",
     "0.0.0.0", "", "10.0.0.7"],
)  # fmt: skip
def test_a_web_page_under_another_name_is_refused(server: HttpHealth, host: str) -> None:
    status, text = _ask(server.port, "/metrics", Host=host)
    assert status == 403
    assert "numbers" not in text


def test_a_web_pages_own_request_is_refused(server: HttpHealth) -> None:
    assert _ask(server.port, "/metrics", Origin="http://localhost:3000")[0] == 403


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_it_answer_or_end(server: HttpHealth, noise: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
        link.sendall(noise)
        link.shutdown(socket.SHUT_WR)
        answer = b""
        while block := link.recv(4_096):
            answer += block
    assert b"numbers" not in answer
    assert _ask(server.port, "/healthz")[0] == 200


def test_two_hosts_or_none_are_refused(server: HttpHealth) -> None:
    for head in (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
                 b"GET /metrics HTTP/1.0\r\n\r\n"):  # fmt: skip
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as link:
            link.sendall(head)
            assert link.recv(4_096).startswith(b"HTTP/1.0 403")


def test_a_silent_peer_keeps_nobody_waiting(server: HttpHealth) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
    assert _ask(server.port, "/healthz")[0] == 200
    for link in silent:
        link.close()


def _serving(port: int, service: str) -> int:
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status


def test_the_grpc_service_follows_readiness() -> None:
    serving, not_serving = 1, 2
    made = GrpcHealth(0)
    try:
        assert _serving(made.port, SERVICE) == not_serving
        assert _serving(made.port, "") == serving
        made.tell(is_ready=True)
        assert _serving(made.port, SERVICE) == serving
        made.tell(is_ready=False)
        assert _serving(made.port, SERVICE) == not_serving
    finally:
        made.stop()


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NetworkError, match=rf"{port}.*http_port"):
            HttpHealth(port, lambda: None, str)
        with pytest.raises(NetworkError, match=rf"{port}.*grpc_port"):
            GrpcHealth(port)


NUMBERS = st.builds(
    NodeNumbers,
    is_joined=st.booleans(),
    is_ready=st.booleans(),
    is_paused=st.booleans(),
    num_rounds=st.integers(0, 2**60),
    sent_bytes=st.integers(0, 2**60),
    num_errors=st.dictionaries(st.text(), st.integers(0, 9)),
    num_restarts=st.dictionaries(st.sampled_from(["supernode", "worker"]), st.integers(0, 9)),
    child_bytes=st.integers(0, 2**45),
    last_round_seconds=st.none() | st.floats(0, 1e6),
    last_round_time=st.none() | st.floats(0, 2e9),
    spent_epsilon=st.none() | st.floats(0, 1e3) | st.just(float("inf")),
)


@given(NUMBERS)
def test_every_line_of_the_metrics_can_be_read(numbers: NodeNumbers) -> None:
    text = metrics_text(numbers)
    assert text.endswith("\n")
    told = [line for line in text.removesuffix("\n").split("\n") if not line.startswith("# ")]
    assert all(LINE.fullmatch(line) for line in told)
    assert len(told) == len(set(told))
    assert f"fedehr_node_rounds_answered_total {numbers.num_rounds}" in told
    has_epsilon = any(line.startswith("fedehr_node_spent_epsilon ") for line in told)
    assert has_epsilon is (numbers.spent_epsilon is not None), "what is not known is no zero"
