"""The state machine under thousands of seeded schedules of faults, without a network."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fedehr_server.rounds.events import (
    Abort,
    Action,
    Answered,
    Close,
    DeadlinePassed,
    Event,
    Failed,
    Finish,
    NodesSeen,
    Open,
    Push,
    PushLater,
)
from fedehr_server.rounds.machine import (
    PERMANENT_CODES,
    WAITING_CODES,
    PhasePlan,
    StudyMachine,
    plan_of,
)
from fedehr_shared.config.study import FederationConfig
from fedehr_shared.errors import ERROR_CODES
from fedehr_shared.wire.work import WorkId

TRANSIENT = sorted(ERROR_CODES - PERMANENT_CODES)
NUM_SCHEDULES = 3_000


@dataclass
class Weather:
    """How often what goes wrong in one schedule."""

    federation: FederationConfig
    plan: tuple[PhasePlan, ...]
    num_sites: int
    num_nodes: int
    fail: float
    permanent: float
    die: float
    late: float
    twice: float
    impatience: float


def _draw(generator: np.random.Generator) -> Weather:
    num_nodes = int(generator.integers(1, 7))
    rare = generator.choice([0.0, 0.02, 0.1, 0.4], 6)
    return Weather(
        federation=FederationConfig(
            min_sites=int(generator.integers(1, num_nodes + 1)),
            max_attempts=int(generator.integers(1, 4)),
        ),
        plan=(
            PhasePlan("vocabulary", 1),
            PhasePlan("pretraining", int(generator.integers(1, 5))),
            PhasePlan("finetuning", int(generator.integers(1, 4))),
            PhasePlan("evaluation", 1),
        ),
        num_sites=int(generator.integers(1, num_nodes + 2)),
        num_nodes=num_nodes,
        fail=rare[0], permanent=rare[1] / 4, die=rare[2] / 10, late=rare[3], twice=rare[4],
        impatience=rare[5] / 4,
    )  # fmt: skip


@dataclass
class Drive:
    """A network of nodes that obey a seed, and what the machine asked of it."""

    seed: int
    weather: Weather = field(init=False)
    actions: list[Action] = field(default_factory=list)
    trace: list[tuple[Event, list[Action]]] = field(default_factory=list)

    def run(self) -> "Drive":
        generator = np.random.default_rng(self.seed)
        self.weather = weather = _draw(generator)
        machine = StudyMachine("digest", weather.plan, weather.federation, weather.num_sites)
        dead: set[int] = set()
        flight: list[Push] = []
        for _ in range(5_000):
            event = self._next(generator, machine, flight, dead)
            actions = machine.handle(event)
            self.trace.append((event, actions))
            self.actions += actions
            if any(isinstance(action, Finish | Abort) for action in actions):
                return self
            for action in actions:
                if isinstance(action, PushLater):
                    flight.append(Push(action.node, action.work, again=False))
                elif isinstance(action, Push):
                    flight.append(action)
        raise AssertionError(f"schedule {self.seed} never ends")

    def _next(
        self,
        generator: np.random.Generator,
        machine: StudyMachine,
        flight: list[Push],
        dead: set[int],
    ) -> Event:
        weather = self.weather
        if machine.is_joining:
            if generator.random() < 0.1:
                return DeadlinePassed()
            seen = generator.random(weather.num_nodes) < 0.4
            return NodesSeen(frozenset(np.flatnonzero(seen).tolist()))
        dead |= {push.node for push in flight if generator.random() < weather.die}
        flight[:] = [push for push in flight if push.node not in dead]
        if not flight or generator.random() < weather.impatience:
            return DeadlinePassed()
        push = flight[int(generator.integers(len(flight)))]
        # A late or doubled answer stays in flight and comes again, perhaps rounds later.
        if generator.random() >= weather.twice + weather.late:
            flight.remove(push)
        return self._answer(generator, push)

    def _answer(self, generator: np.random.Generator, push: Push) -> Event:
        chance = generator.random() - self.weather.permanent
        if chance < self.weather.fail:
            codes = sorted(PERMANENT_CODES) if chance < 0 else TRANSIENT
            return Failed(push.node, push.work, str(generator.choice(codes)))
        # Now and then a node answers for another one, or one that nobody knows.
        node = int(generator.integers(0, 9)) if generator.random() < 0.02 else push.node
        return Answered(node, push.work)


@pytest.fixture(scope="module")
def drives() -> list[Drive]:
    return [Drive(seed).run() for seed in range(NUM_SCHEDULES)]


def _rounds(drive: Drive) -> list[tuple[str, int]]:
    return [(p.phase, n + 1) for p in drive.weather.plan for n in range(p.num_rounds)]


def test_every_schedule_ends_and_they_end_in_every_way(drives: list[Drive]) -> None:
    ends = [drive.actions[-1] for drive in drives]
    codes = Counter(end.code if isinstance(end, Abort) else "finished" for end in ends)
    assert codes["finished"] > NUM_SCHEDULES / 10
    assert len(codes) > 8


def test_rounds_open_and_close_in_order(drives: list[Drive]) -> None:
    for drive in drives:
        rounds = _rounds(drive)
        opened = [(a.work.phase, a.work.round) for a in drive.actions if isinstance(a, Open)]
        closed = [(a.work.phase, a.work.round) for a in drive.actions if isinstance(a, Close)]
        assert opened == rounds[: len(opened)]
        assert closed == opened[: len(closed)]
        assert len(opened) - len(closed) in {0, 1}
        finished = isinstance(drive.actions[-1], Finish)
        assert finished == (closed == rounds)
        # Open, its pushes and answers, then Close: never two rounds at once.
        at: tuple[str, int] | None = None
        for action in drive.actions:
            if isinstance(action, Open):
                assert at is None
                at = (action.work.phase, action.work.round)
            elif isinstance(action, Push | Close):
                assert at == (action.work.phase, action.work.round)
                at = None if isinstance(action, Close) else at


def test_a_round_counts_only_with_enough_sites_and_names_the_missing(drives: list[Drive]) -> None:
    for drive in drives:
        asked: tuple[int, ...] = ()
        for action in drive.actions:
            if isinstance(action, Open):
                asked = action.nodes
            if isinstance(action, Close):
                assert len(action.nodes) >= drive.weather.federation.min_sites
                missing = [node for node, _ in action.missing]
                assert sorted([*action.nodes, *missing]) == sorted(asked)
                assert {code for _, code in action.missing} <= ERROR_CODES


def test_no_node_counts_twice_and_only_what_it_answered(drives: list[Drive]) -> None:
    for drive in drives:
        answered: set[tuple[int, WorkId]] = set()
        pushed: dict[int, WorkId] = {}
        for event, actions in drive.trace:
            # What is answered to the latest request is what may count.
            if isinstance(event, Answered) and pushed.get(event.node) == event.work:
                answered.add((event.node, event.work))
            for action in actions:
                if isinstance(action, Push):
                    pushed[action.node] = action.work
                if isinstance(action, Close):
                    assert len(set(action.nodes)) == len(action.nodes)
                    for node in action.nodes:
                        mine = {w for n, w in answered if n == node}
                        assert any(
                            (w.phase, w.round) == (action.work.phase, action.work.round)
                            for w in mine
                        )


def test_excluded_nodes_are_left_alone_and_attempts_are_bounded(drives: list[Drive]) -> None:
    excluded_somewhere = False
    for drive in drives:
        excluded: set[int] = set()
        attempts: Counter[tuple[int, str, int]] = Counter()
        pushed: dict[int, WorkId] = {}
        open_round: tuple[str, int] | None = None
        answered: set[int] = set()
        for event, actions in drive.trace:
            current = isinstance(event, Answered | Failed) and pushed.get(event.node) == event.work
            if current and isinstance(event, Answered | Failed):
                in_round = (event.work.phase, event.work.round) == open_round
                if isinstance(event, Failed) and in_round and event.node not in answered:
                    if event.code in PERMANENT_CODES:
                        excluded.add(event.node)
                        excluded_somewhere = True
                    pushed.pop(event.node)
                elif in_round:
                    answered.add(event.node)
            for action in actions:
                if isinstance(action, Open):
                    open_round, answered = (action.work.phase, action.work.round), set()
                    assert not set(action.nodes) & excluded
                if isinstance(action, Push):
                    assert action.node not in excluded
                    key = (action.node, action.work.phase, action.work.round)
                    attempts[key] += 1
                    assert action.work.attempt == attempts[key]
                    assert action.again == (action.work.attempt > 1)
                    pushed[action.node] = action.work
                if isinstance(action, PushLater):
                    # The same work again, as the same attempt.
                    assert action.node not in excluded
                    assert isinstance(event, Failed)
                    assert (action.work, event.code in WAITING_CODES) == (event.work, True)
                    pushed[action.node] = action.work
        assert max(attempts.values(), default=0) <= drive.weather.federation.max_attempts
    assert excluded_somewhere


def test_an_abort_is_the_last_word_and_says_why(drives: list[Drive]) -> None:
    for drive in drives:
        ends = [a for a in drive.actions if isinstance(a, Finish | Abort)]
        assert ends == [drive.actions[-1]]
        if isinstance(ends[0], Abort):
            assert ends[0].code in ERROR_CODES
            assert str(drive.weather.federation.min_sites) in ends[0].reason


def test_the_same_schedule_gives_the_same_actions(drives: list[Drive]) -> None:
    for drive in drives[::10]:
        assert Drive(drive.seed).run().trace == drive.trace


def _machine(num_sites: int, **federation: Any) -> StudyMachine:
    plan = (PhasePlan("vocabulary", 1), PhasePlan("pretraining", 2))
    return StudyMachine("d", plan, FederationConfig(**federation), num_sites)


def _work(phase: Any, number: int, attempt: int = 1) -> WorkId:
    return WorkId("d", phase, number, attempt)


def test_it_waits_for_its_sites_and_then_for_no_others() -> None:
    machine = _machine(3, min_sites=2)
    assert machine.handle(NodesSeen(frozenset({1}))) == []
    assert machine.handle(NodesSeen(frozenset({2}))) == []
    actions = machine.handle(NodesSeen(frozenset({3})))
    assert actions[0] == Open(_work("vocabulary", 1), (1, 2, 3))
    assert machine.handle(NodesSeen(frozenset({4}))) == []
    assert machine.pending == {1: 1, 2: 1, 3: 1}


def test_at_the_join_deadline_enough_sites_begin_and_too_few_end_it() -> None:
    machine = _machine(3, min_sites=2)
    machine.handle(NodesSeen(frozenset({1, 2})))
    assert machine.handle(DeadlinePassed())[0] == Open(_work("vocabulary", 1), (1, 2))
    machine = _machine(3, min_sites=2)
    machine.handle(NodesSeen(frozenset({1})))
    (action,) = machine.handle(DeadlinePassed())
    assert isinstance(action, Abort)
    assert action.code == "deadline"
    assert machine.handle(NodesSeen(frozenset({2, 3}))) == []


def test_a_site_that_missed_a_round_is_asked_in_the_next() -> None:
    machine = _machine(2, min_sites=1)
    machine.handle(NodesSeen(frozenset({1, 2})))
    for node in (1, 2):
        machine.handle(Answered(node, _work("vocabulary", 1)))
    machine.handle(Answered(1, _work("pretraining", 1)))
    close, open_next, *pushes = machine.handle(DeadlinePassed())
    assert close == Close(_work("pretraining", 1), (1,), ((2, "deadline"),))
    assert open_next == Open(_work("pretraining", 2), (1, 2))
    assert [push.node for push in pushes if isinstance(push, Push)] == [1, 2]
    assert machine.handle(Answered(2, _work("pretraining", 1))) == []


@pytest.mark.parametrize("why", ["deadline", "network"])
def test_a_site_that_was_not_counted_in_the_vocabulary_trains_nothing(why: str) -> None:
    machine = _machine(2, min_sites=1, max_attempts=1)
    machine.handle(NodesSeen(frozenset({1, 2})))
    machine.handle(Answered(1, _work("vocabulary", 1)))
    work = _work("vocabulary", 1)
    close, *after = machine.handle(DeadlinePassed() if why == "deadline" else Failed(2, work, why))
    assert close == Close(work, (1,), ((2, why),))
    assert after == [
        Open(_work("pretraining", 1), (1,)), Push(1, _work("pretraining", 1), again=False)
    ]  # fmt: skip


@pytest.mark.parametrize("code", sorted(WAITING_CODES))
def test_a_site_that_cannot_answer_yet_is_asked_the_same_until_the_deadline(code: str) -> None:
    machine = _machine(2, min_sites=1, max_attempts=1)
    machine.handle(NodesSeen(frozenset({1, 2})))
    work = _work("vocabulary", 1)
    for _ in range(50):
        assert machine.handle(Failed(2, work, code)) == [PushLater(2, work)]
    assert machine.handle(Answered(1, work)) == []
    assert machine.pending == {2: 1}
    close, *_ = machine.handle(DeadlinePassed())
    assert close == Close(work, (1,), ((2, code),))


def test_a_site_that_waited_still_has_all_of_its_attempts() -> None:
    machine = _machine(1, min_sites=1, max_attempts=2)
    machine.handle(NodesSeen(frozenset({1})))
    first, second = _work("vocabulary", 1), _work("vocabulary", 1, 2)
    machine.handle(Failed(1, first, "busy"))
    assert machine.handle(Failed(1, first, "compute")) == [Push(1, second, again=True)]
    assert machine.handle(Failed(1, second, "held")) == [PushLater(1, second)]
    close, *_ = machine.handle(Answered(1, second))
    assert close == Close(first, (1,), ())


def test_what_a_site_waited_for_earlier_is_not_why_it_is_missing_later() -> None:
    machine = _machine(2, min_sites=1, max_attempts=2)
    machine.handle(NodesSeen(frozenset({1, 2})))
    work = _work("vocabulary", 1)
    machine.handle(Failed(2, work, "busy"))
    machine.handle(Failed(2, work, "compute"))
    machine.handle(Answered(1, work))
    close, *_ = machine.handle(DeadlinePassed())
    assert close == Close(work, (1,), ((2, "deadline"),))


def test_the_most_frequent_reason_ends_the_study() -> None:
    machine = _machine(4, min_sites=2, max_attempts=1)
    machine.handle(NodesSeen(frozenset({1, 2, 3, 4})))
    machine.handle(Failed(1, _work("vocabulary", 1), "missing_task"))
    machine.handle(Failed(2, _work("vocabulary", 1), "missing_task"))
    machine.handle(Failed(3, _work("vocabulary", 1), "wire"))
    (action,) = machine.handle(Answered(4, _work("vocabulary", 1)))
    assert isinstance(action, Abort)
    assert action.code == "missing_task"
    assert "missing_task x2" in action.reason


def test_phases_without_rounds_are_left_out(make_study: Any) -> None:
    def phases(**changes: Any) -> list[tuple[str, int]]:
        return [(p.phase, p.num_rounds) for p in plan_of(make_study(**changes))]

    assert phases() == [
        ("vocabulary", 1), ("pretraining", 2), ("finetuning", 2), ("evaluation", 1),
    ]  # fmt: skip
    assert phases(pretraining={"rounds": 0})[1] == ("finetuning", 2)
    # Without heads there is nothing to evaluate.
    assert phases(finetuning={"rounds": 0}) == [("vocabulary", 1), ("pretraining", 2)]
