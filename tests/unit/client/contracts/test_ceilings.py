"""Each ceiling of the site file, crossed: nothing is approved, and what was is asked in vain."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedehr_client.contracts.approval import approve_study
from fedehr_client.contracts.gate import ContractGate
from fedehr_client.contracts.store import ContractStore
from fedehr_client.contracts.study_facts import StudyFacts
from fedehr_client.ledger.charge import planned_charges, spending_of
from fedehr_client.ledger.ledger import Ledger
from fedehr_client.node.folder import NodeFolder
from fedehr_shared.errors import BusyError, PolicyError

Ask = Callable[..., Any]
PRIVATE = {"privacy": {"mechanism": "local", "target_epsilon": 3.0, "target_delta": 1e-4}}
CROSSED: list[tuple[str, dict[str, Any], str]] = [
    ("studies", {"studies": ("other", "third")}, r"'small'.*'other', 'third'"),
    ("tasks", {"tasks": ("death",)}, r"labels of 'long_stay'.*'death'"),
    ("min_cell", {"min_cell": 6}, r"rest on 5 subjects.*is 6.*min_cell = 6"),
    ("min_sites", {"min_sites": 3}, r"answers of 2 site.*is 3"),
    ("max_bytes_per_day", {"max_bytes_per_day": 20_000}, r"up to [0-9,]+ bytes.*20,000"),
    ("min_subjects", {"min_subjects": 61}, r"60 training subjects.*is 61"),
    (
        "require_privacy",
        {"require_privacy": True, "subject_epsilon": 50.0},
        r"pretraining and finetuning without noise",
    ),
]


@pytest.mark.parametrize("crossed", CROSSED, ids=[key for key, _, _ in CROSSED])
def test_what_crosses_a_ceiling_is_not_approved(
    node: NodeFolder, asking: Ask, contract_office: Any, crossed: Any
) -> None:
    key, ceilings, match = crossed
    asked, store = asking(), ContractStore(node)
    digest = store.receive(asked.signed).digest
    contract_office.write_site_file(node, **ceilings)
    with pytest.raises(PolicyError, match=match) as raised:
        approve_study(store, digest, by="ada")
    assert f"[ceilings] {key} " in str(raised.value)
    known = store.find(digest)
    assert known is not None
    assert known.state == "waiting"
    facts = StudyFacts.of(known, node.config())
    assert [bound.key for bound in facts.bounds if bound.is_crossed] == [key]
    contract_office.write_site_file(node)
    assert approve_study(store, digest, by="ada").state == "approved"


@pytest.mark.parametrize("crossed", CROSSED, ids=[key for key, _, _ in CROSSED])
def test_a_site_file_made_stricter_stops_what_was_approved(
    node: NodeFolder, approved: Any, contract_office: Any, bundle: str, crossed: Any
) -> None:
    _, ceilings, match = crossed
    gate = ContractGate(node, bytes_since=lambda time: 0)
    gate.admit(approved.request("vocabulary"), 7, bundle)
    contract_office.write_site_file(node, **ceilings)
    with pytest.raises(PolicyError, match=match):
        gate.admit(approved.request("pretraining"), 7, bundle)
    contract_office.write_site_file(node)
    gate.admit(approved.request("pretraining"), 7, bundle)


def test_several_at_once_are_all_named(node: NodeFolder, asking: Ask, contract_office: Any) -> None:
    store = ContractStore(node)
    digest = store.receive(asking().signed).digest
    contract_office.write_site_file(node, min_cell=9, min_sites=8, studies=())
    with pytest.raises(PolicyError) as raised:
        approve_study(store, digest, by="ada")
    for key in ("min_cell", "min_sites", "studies"):
        assert f"[ceilings] {key} " in str(raised.value)


def test_epsilon_is_held_against_what_the_ledger_has_spent(
    node: NodeFolder, asking: Ask, contract_office: Any
) -> None:
    asked, store = asking(PRIVATE), ContractStore(node)
    digest = store.receive(asked.signed).digest
    contract_office.write_site_file(node, subject_epsilon=3.2, subject_delta=1e-4)
    before = StudyFacts.of(store.receive(asked.signed), node.config()).epsilon
    assert before.spent == 0
    assert before.after == pytest.approx(asked.contract.subject_epsilon, rel=1e-6)
    other = asking({**PRIVATE, "name": "earlier"}).contract.study
    config = node.config()
    ledger = Ledger(config.site.work, config.ceilings.ceiling, config.site.name)
    for charge in planned_charges(other):
        ledger.reserve(other, charge)
    after = StudyFacts.of(store.receive(asked.signed), node.config()).epsilon
    assert after.spent == pytest.approx(before.after, rel=1e-6)
    assert after.after > 3.2 > after.spent
    with pytest.raises(
        PolicyError, match=r"epsilon of .*\[ceilings\] subject_epsilon .* is 3\.2\."
    ):
        approve_study(store, digest, by="ada")
    contract_office.write_site_file(node, subject_epsilon=after.after + 0.01, subject_delta=1e-4)
    approve_study(store, digest, by="ada")


def test_rounds_that_are_charged_are_not_reckoned_twice(
    node: NodeFolder, asking: Ask, contract_office: Any
) -> None:
    asked, store = asking(PRIVATE), ContractStore(node)
    known = store.receive(asked.signed)
    contract_office.write_site_file(node, subject_epsilon=4.0, subject_delta=1e-4)
    whole = StudyFacts.of(known, node.config()).epsilon.after
    config, study = node.config(), asked.contract.study
    ledger = Ledger(config.site.work, config.ceilings.ceiling, config.site.name)
    for charge in planned_charges(study):
        ledger.reserve(study, charge)
        assert StudyFacts.of(known, config).epsilon.after == pytest.approx(whole, rel=1e-9)


def test_two_runs_cost_what_their_charges_come_to(node: NodeFolder, asking: Ask) -> None:
    asked, config = asking(PRIVATE, num_runs=2), node.config()
    charges = planned_charges(asked.contract.study)
    both = spending_of([*charges, *charges]).subject_epsilon(config.ceilings.subject_delta)
    once = spending_of(charges).subject_epsilon(config.ceilings.subject_delta)
    known = ContractStore(node).receive(asked.signed)
    assert StudyFacts.of(known, config).epsilon.after == pytest.approx(both, rel=1e-9)
    assert both > 1.1 * once


def test_the_bytes_of_a_day_make_it_wait(
    node: NodeFolder, approved: Any, contract_office: Any, bundle: str
) -> None:
    contract_office.write_site_file(node, max_bytes_per_day=5_000_000)
    asked_since: list[datetime] = []
    sent = 5_000_000

    def bytes_since(time: datetime) -> int:
        asked_since.append(time)
        return sent

    gate = ContractGate(node, bytes_since=bytes_since)
    with pytest.raises(BusyError, match="max_bytes_per_day = 5,000,000"):
        gate.admit(approved.request("vocabulary"), 7, bundle)
    age = datetime.now(UTC) - asked_since[-1]
    assert timedelta(hours=24) <= age < timedelta(hours=24, minutes=1)
    sent = 4_999_999
    gate.admit(approved.request("vocabulary"), 7, bundle)


def test_subjects_are_counted_anew_when_records_change(
    node: NodeFolder, approved: Any, contract_office: Any, bundle: str
) -> None:
    contract_office.write_site_file(node, min_subjects=60)
    gate = ContractGate(node, bytes_since=lambda time: 0)
    gate.admit(approved.request("vocabulary"), 7, bundle)
    file = node.path / "records" / "metadata" / "subject_splits.parquet"
    pq.write_table(pa.table({"subject_id": [1, 2], "split": ["train", "tuning"]}), file)
    with pytest.raises(PolicyError, match="the site's 1 training subjects"):
        gate.admit(approved.request("pretraining"), 7, bundle)
