"""A worker that was told to end does, and says so to whatever it is doing."""

import subprocess
import sys
import time

import pytest

from fedehr_client.worker.ending import Ending
from fedehr_client.worker.why_stop import LOOK_SECONDS, WhyStop

HANGS = """
import signal, time
from fedehr_client.worker.ending import Ending
ending = Ending(grace_seconds=0.3)
ending.at_last(lambda: print("at last", flush=True))
ending.listen()
print("ready", flush=True)
while True:
    time.sleep(60)
"""


def test_nothing_is_near_before_it_is_told() -> None:
    # When its time is up it ends the process, which here is that of all tests.
    ending = Ending(grace_seconds=1e6)
    assert (ending.is_near, ending.why()) == (False, None)
    assert not ending.wait(0.01)
    ending.set()
    assert ending.is_near
    assert ending.why()
    assert ending.wait(60)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_what_hangs_is_ended_after_its_last_acts(name: str) -> None:
    import signal

    with subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        begin = time.monotonic()
        process.send_signal(getattr(signal, name))
        assert process.stdout.readline() == b"at last\n"
        assert process.wait(10) == 1
        assert time.monotonic() - begin < 8


def test_askers_are_asked_once_a_second_and_the_first_reason_stays() -> None:
    now, asked, reasons = [0.0], [], {"first": None, "second": None}

    def asker(name: str):  # type: ignore[no-untyped-def]
        def ask() -> str | None:
            asked.append(name)
            return reasons[name]

        return ask

    why = WhyStop(asker("first"), asker("second"), clock=lambda: now[0])
    assert why() is None
    assert why() is None
    assert asked == ["first", "second"]
    reasons["second"] = "paused"
    assert why() is None, "not looked up within a second"
    now[0] += LOOK_SECONDS
    assert why() == "paused"
    reasons["first"] = "another"
    now[0] += LOOK_SECONDS
    assert why() == "paused"
