"""A large request and a large answer are in the worker's memory about once each."""

import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.records import to_records
from fedehr_shared.wire.payload import Payload

NUM_BYTES = 100 * 2**20


@pytest.mark.long
def test_a_hundred_megabytes_are_not_copied_again_and_again(
    node: Any, secret: bytes, record_property: Any
) -> None:
    program = Path(__file__).with_name("echo_worker.py")
    echo = subprocess.Popen(
        [sys.executable, str(program), str(node.port), secret.decode()], stdout=subprocess.PIPE
    )
    with echo:
        assert echo.stdout is not None
        try:
            before = int(echo.stdout.readline())
            model = secrets.token_bytes(NUM_BYTES)
            answer = node.ask(to_records(Payload({"model": model}))).result(120)
            read, after, *seconds = map(float, echo.stdout.readline().split())
        finally:
            echo.kill()
    (record,) = answer.content.array_records.values()
    assert record["tensors"].data == model
    for name, value in (("read", read - before), ("answered", after - before)):
        record_property(name, value / NUM_BYTES)
        print(f"{name}: {(value) / 2**20:.0f} MiB above {before / 2**20:.0f} MiB")
    print(f"seconds: request {seconds[0]:.2f}, answer {seconds[1]:.2f}")
    # The chunks of the engine's transport take a few of their size beside the whole.
    assert read - before < 1.7 * NUM_BYTES
    assert after - before < 2.0 * NUM_BYTES
