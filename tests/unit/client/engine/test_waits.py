"""`Waits` in the engine's own loop, and how quick and how seldom it asks."""

import ast
import inspect
import time
from collections.abc import Iterator

import pytest
from flwr.supernode import start_client_internal
from hypothesis import given
from hypothesis import strategies as st

from fedehr_client.engine.waits import (
    ANSWER_SECONDS,
    LEAST_ANSWER_SECONDS,
    LEAST_WORK_SECONDS,
    SHARE,
    WORK_SECONDS,
    Waits,
)


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def engine_loop() -> Iterator[None]:
    yield
    vars(start_client_internal)["time"] = time


def made() -> tuple[Waits, Clock]:
    clock = Clock()
    return Waits(lambda: clock.now, clock.sleep), clock


def test_the_engine_sleeps_only_as_was_read_in_it() -> None:
    """Another version may ask the time, or sleep for another reason."""
    tree = ast.parse(inspect.getsource(start_client_internal))
    uses = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "time"
    ]
    calls = [
        ast.unparse(node) for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"
    ]  # fmt: skip
    assert set(uses) == {"time.sleep"}
    assert sorted(calls) == ["time.sleep(0.5)", "time.sleep(0.5)", "time.sleep(3)"]


def test_the_engines_loop_sleeps_here(engine_loop: None) -> None:
    waits, clock = made()
    waits.install()
    vars(start_client_internal)["time"].sleep(3)
    assert clock.slept == [WORK_SECONDS]


def test_a_node_that_has_not_worked_asks_as_seldom_as_the_engine() -> None:
    waits, clock = made()
    for _ in range(5):
        waits.sleep(3)
    assert clock.slept == [WORK_SECONDS] * 5


def test_a_node_that_worked_asks_soon_then_ever_less_often() -> None:
    waits, clock = made()
    waits.sleep(0.5)
    clock.slept.clear()
    while clock.now < 1_060.0:
        waits.sleep(3)
    assert clock.slept[0] == LEAST_WORK_SECONDS
    assert clock.slept == sorted(clock.slept)
    assert clock.slept[-1] == WORK_SECONDS


@given(st.floats(0.01, 7_200))
def test_what_came_in_between_is_found_in_a_tenth_of_the_time(seconds: float) -> None:
    """An answer that took so long, and a request that came so long after the last answer."""
    for engines, least in ((0.5, LEAST_ANSWER_SECONDS), (3, LEAST_WORK_SECONDS)):
        waits, clock = made()
        waits.sleep(0.5)
        begin = clock.now
        while clock.now < begin + seconds:
            waits.sleep(engines)
        late = clock.now - (begin + seconds)
        assert late <= max(least, SHARE * (seconds + ANSWER_SECONDS)) + 1e-6
        assert late <= engines


@given(st.floats(0, 60))
def test_other_sleeps_are_left_alone(seconds: float) -> None:
    waits, clock = made()
    waits.sleep(seconds)
    assert clock.slept[0] <= seconds
    if seconds not in {WORK_SECONDS, ANSWER_SECONDS}:
        assert clock.slept == [seconds]
