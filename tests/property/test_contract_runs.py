"""Whatever order messages come in, a contract is never stretched: one content a round, no more
rounds and runs than it has, never back."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.contracts.run_progress import AskedRound, RunProgress, with_round
from fedehr_shared.errors import ContractError
from fedehr_shared.wire.work import PHASES, WorkId

ROUNDS = {"vocabulary": 1, "pretraining": 3, "finetuning": 2, "evaluation": 1}


@dataclass(frozen=True)
class _Federation:
    max_attempts: int = 3


@dataclass(frozen=True)
class _Study:
    federation: _Federation = _Federation()


@dataclass(frozen=True)
class _Contract:
    """What `with_round` reads of a contract."""

    num_runs: int
    rounds: dict[str, int]
    study: _Study = _Study()


@st.composite
def messages(draw: st.DrawFn) -> list[AskedRound | str]:
    """Rounds of a few runs, honest stretches among them, and what happens to their answers."""
    found: list[AskedRound | str] = []
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.booleans()):
            found += _honest(draw(st.integers(1, 3)), draw(st.integers(0, 7)))
        found += draw(st.lists(st.one_of(_any_round(), st.sampled_from(["answered", "failed"]))))
    return found


def _honest(run_id: int, num: int) -> list[AskedRound | str]:
    places = [(phase, number + 1) for phase in PHASES for number in range(ROUNDS[phase])]
    rounds = [_asked(run_id, place, 1, "av") for place in places[:num]]
    return [each for asked in rounds for each in (asked, "answered")]


def _any_round() -> st.SearchStrategy[AskedRound]:
    return st.builds(
        _asked,
        st.integers(1, 3),
        st.tuples(st.sampled_from(PHASES), st.integers(-1, 5)),
        st.integers(0, 5),
        st.sampled_from(["av", "aw", "bv"]),
    )


def _asked(run_id: int, place: tuple[Any, int], attempt: int, texts: str) -> AskedRound:
    """`texts`: a letter for the content, and one for the vocabulary."""
    phase, number = place
    vocabulary = "" if phase == "vocabulary" else texts[1]
    digest = f"{phase}{number}{texts[0]}{vocabulary}"
    return AskedRound(run_id, WorkId("d", phase, number, attempt), digest, vocabulary, time="now")


@given(messages(), st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_no_order_stretches_a_contract(sent: list[AskedRound | str], num_runs: int) -> None:
    contract: Any = _Contract(num_runs, ROUNDS)
    runs: tuple[RunProgress, ...] = ()
    admitted: list[AskedRound] = []
    for message in sent:
        if isinstance(message, str):
            if runs:
                latest = runs[-1]
                changed = latest.answered() if message == "answered" else latest.failed(1)
                runs = (*runs[:-1], changed)
            continue
        try:
            after = with_round(runs, message, contract)
        except ContractError:
            continue
        runs = after
        admitted.append(message)
    _require_kept(admitted, runs, num_runs)


def _require_kept(admitted: list[AskedRound], runs: tuple[RunProgress, ...], num_runs: int) -> None:
    contents: dict[tuple[int, str, int], set[str]] = {}
    vocabularies: dict[int, set[str]] = {}
    last: dict[int, tuple[int, int]] = {}
    for asked in admitted:
        phase, number = asked.work_id.phase, asked.work_id.round
        contents.setdefault((asked.run_id, phase, number), set()).add(asked.request_digest)
        vocabularies.setdefault(asked.run_id, set()).add(asked.vocabulary_digest)
        place = (PHASES.index(phase), number)
        assert place >= last.get(asked.run_id, (-1, 0)), "a run went back"
        last[asked.run_id] = place
        assert 1 <= number <= ROUNDS[phase]
        assert 1 <= asked.work_id.attempt <= 3
    assert all(len(each) == 1 for each in contents.values()), "two contents for one round"
    assert all(len(each - {""}) <= 1 for each in vocabularies.values()), "two vocabularies"
    assert len({asked.run_id for asked in admitted}) <= num_runs
    assert len(contents) <= num_runs * sum(ROUNDS.values())
    assert [run.run_id for run in runs] == list(dict.fromkeys(a.run_id for a in admitted))
    assert sum(run.num_asked for run in runs) == len(contents)
    assert all(run.num_answered <= run.num_asked for run in runs)
    # Once a later run has begun, an earlier one is over.
    order = [asked.run_id for asked in admitted]
    assert all(order.index(run) > _last(order, before) for before, run in _pairs(order))
    if admitted:
        assert admitted[0].work_id.phase == "vocabulary"


def _pairs(order: list[int]) -> list[tuple[int, int]]:
    runs = list(dict.fromkeys(order))
    return list(pairwise(runs))


def _last(order: list[int], run: int) -> int:
    return len(order) - 1 - order[::-1].index(run)


@given(messages())
@settings(max_examples=50, deadline=None)
def test_what_is_asked_honestly_is_never_lost(sent: list[AskedRound | str]) -> None:
    """Strange messages of other runs do not stop the run that has begun."""
    contract: Any = _Contract(1, ROUNDS)
    runs = with_round((), _asked(9, ("vocabulary", 1), 1, "av"), contract)
    for message in sent:
        if isinstance(message, str):
            continue
        with pytest.raises(ContractError):
            with_round(runs, message, contract)
    for each in _honest(9, 7):
        if not isinstance(each, str):
            runs = with_round(runs, each, contract)
    assert runs[-1].num_asked == sum(ROUNDS.values())


@pytest.fixture(scope="module")
def approved(
    contract_office: Any, make_study: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """A node with an approved contract, and the requests of a few altered studies."""
    from fedehr_client.contracts.store import ContractStore

    folder: Path = tmp_path_factory.mktemp("approved")
    office = contract_office.ContractOffice.open(folder / "pki")
    node = office.node(folder / "node")
    study = make_study(pretraining={"rounds": 0}, finetuning={"rounds": 0})
    signed = office.sign(study)
    digest = ContractStore(node).receive(signed).digest
    ContractStore(node).approve(digest, "ada")
    return node, study, signed, digest, contract_office.BUNDLE


KEYS = ("contract", "work_id", "study", "bundle", "run", "again")


@given(st.lists(st.sets(st.sampled_from(KEYS)), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_an_altered_message_is_never_admitted(approved: Any, altered: list[set[str]]) -> None:
    """Through files, signature and all: only the message as it was approved comes in."""
    from fedehr_client.contracts.gate import ContractGate
    from fedehr_shared.errors import FedehrError
    from fedehr_shared.wire.payload import Payload

    node, study, _, digest, bundle = approved
    gate = ContractGate(node, bytes_since=lambda time: 0)
    for keys in altered:
        work: Any = {
            "contract": digest if "contract" not in keys else digest[::-1],
            "work_id": f"{study.digest}/vocabulary/{1 + ('work_id' in keys)}/1",
            "study": study.to_json() + " " * ("study" in keys),
        }
        own = bundle if "bundle" not in keys else "0" * 64
        run = 4 + ("run" in keys)
        is_honest = not keys - {"again"}
        try:
            admitted = gate.admit(Payload(values={"work": work}), run, own)
        except FedehrError:
            # Nothing but the honest message binds the contract's one run.
            assert not is_honest
        else:
            assert is_honest
            assert admitted.run_id == 4
