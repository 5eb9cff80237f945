"""Honest answers of whole studies, as one hospital gives them, and a node that seals them."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_client.contracts.admitted import Admitted
from fedehr_client.node.folder import NodeFolder
from fedehr_client.outbox.outbox import Outbox
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.meds.folder import FederationFolder
from fedehr_shared.model.parameter_shapes import update_shapes
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import TrainReport
from fedehr_shared.wire.work import WorkId
from fedehr_simulations.hospitals.further_outcomes import FURTHER_TASKS

_LOCAL = {
    "mechanism": "local", "noise_multiplier": 1.0, "target_delta": 1e-4, "nominal_subjects": 200,
    "pretraining": {"sample_rate": 0.3}, "finetuning": {"sample_rate": 0.3},
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "averaged moments": {
        "pretraining": {"optimizer_state": "averaged"},
        "finetuning": {"optimizer_state": "averaged"}, "exchange": {"dtype": "fp32"},
    },
    "withheld": {"privacy": {**_LOCAL, "metrics": "withheld"}},
    "private": {"privacy": _LOCAL, "exchange": {"dtype": "bf16"}},
    "lora int8": {
        "finetuning": {"tuning": "lora"}, "lora": {"rank": 2, "aggregation": "reprojection"},
        "exchange": {"dtype": "int8"}, "pretraining": {"rounds": 1},
    },
    "multitask": {
        "loss": {"task_weights": "dynamic", "class_weights": "balanced"},
        "finetuning": {"tasks": ["death", *FURTHER_TASKS]},
        "tasks": {name: task.model_dump() for name, task in FURTHER_TASKS.items()},
        "evaluation": {"calibration": "platt"},
    },
    "noisy vocabulary": {
        "vocabulary": {"noise_epsilon": 50.0, "noise_delta": 1e-6}, "pretraining": {"rounds": 0},
        "finetuning": {"tuning": "probe_then_full"},
    },
}  # fmt: skip
"""Between them each dtype, each record and each kind of task."""
_MIN_CELL = 5
SITE = "north"


@dataclass(frozen=True)
class Honest:
    """One answer of one round, and what was asked.

    Attributes:
        admitted: as the gate lets it in.
        answer: as the child makes it.
    """

    admitted: Admitted
    answer: Payload

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.admitted.work_id.phase}/{self.admitted.work_id.round}"


@dataclass(frozen=True)
class HonestStudy:
    """All answers of one hospital to one study, in their order.

    Attributes:
        study: the study.
        contract: of it.
        answers: one a round.
        records: the hospital's.
    """

    study: StudyConfig
    contract: StudyContract
    answers: tuple[Honest, ...]
    records: Path

    def of(self, phase: str) -> Honest:
        """The first answer of a phase."""
        return next(one for one in self.answers if one.admitted.work_id.phase == phase)


@pytest.fixture(scope="session")
def honest(
    make_study: Callable[..., Any],
    hospitals: Any,
    run_study_in_process: Any,
    contract_office: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], HonestStudy]:
    """`honest(kind)`: run once."""
    made: dict[str, HonestStudy] = {}

    def of(kind: str) -> HonestStudy:
        if kind not in made:
            study = make_study(**KINDS[kind])
            folder = tmp_path_factory.mktemp("honest")
            shutil.copytree(hospitals.path, folder / "hospitals")
            sites = FederationFolder(folder / "hospitals").sites
            run = run_study_in_process(study, sites, folder)
            contract = contract_office.ContractOffice(folder).draft(study)
            answers = tuple(_answers(study, contract, run.messages, sites[0].name))
            made[kind] = HonestStudy(study, contract, answers, sites[0].path)
        return made[kind]

    return of


def _answers(
    study: StudyConfig, contract: StudyContract, messages: list[Any], site: str
) -> Iterator[Honest]:
    num_tokens = 0
    for sent in messages:
        if sent.direction == "down" and "vocabulary" in sent.payload.values["work"]:
            text = sent.payload.text("work", "vocabulary")
            num_tokens = Vocabulary.from_json(text).num_tokens
        is_of_site = sent.payload.values.get("report", {}).get("site") == site
        if sent.direction == "up" and is_of_site:
            work = WorkId(study.digest, sent.phase, sent.round, sent.attempt)
            digest = f"{sent.phase}{sent.round}".encode().hex().ljust(64, "0")[:64]
            tokens = 0 if sent.phase == "vocabulary" else num_tokens
            admitted = Admitted(contract, contract.digest, study, work, digest, 7, tokens)
            yield Honest(admitted, sent.payload)


@pytest.fixture
def node_of(contract_office: Any, tmp_path: Path) -> Callable[..., NodeFolder]:
    """`node_of(honest_study, "hold = true", max_bytes_per_day=...)`: a node over its records."""

    def make(study: HonestStudy, outbox: str = "", **ceilings: Any) -> NodeFolder:
        node = NodeFolder(tmp_path / "node")
        node.path.mkdir(exist_ok=True)
        write_site_file(node, study.records, outbox, **ceilings)
        return node

    return make


def write_site_file(node: NodeFolder, records: Path, outbox: str = "", **ceilings: Any) -> None:
    """(Re)write a node's site file."""
    lines = [f"{key} = {value}" for key, value in {"min_cell": _MIN_CELL, **ceilings}.items()]
    node.site_file.write_text(
        f'[site]\nname = "{records.name}"\nrecords = "{records}"\n[ceilings]\n'
        + "\n".join(lines)
        + f"\n[outbox]\n{outbox}\n"
        + '[network]\ncoordinator = "coordinator.example:443"\n'
        + 'root_certificates = "ca.crt"\nprivate_key = "node.key"\n'
    )


@pytest.fixture
def outbox_of(node_of: Callable[..., NodeFolder]) -> Callable[..., Outbox]:
    """`outbox_of(honest_study, ...)`: as `node_of`, and its outbox."""
    return lambda *given, **ceilings: Outbox(node_of(*given, **ceilings))


@pytest.fixture
def changed() -> Callable[..., Payload]:
    """`changed(payload, "report.loss", 1.0)`: one value of an answer replaced."""

    def change(payload: Payload, place: str, value: Any) -> Payload:
        record, _, key = place.partition(".")
        values = {**payload.values, record: {**payload.values.get(record, {}), key: value}}
        return replace(payload, values=values)

    return change


@pytest.fixture(scope="session")
def small_study(make_study: Callable[..., Any]) -> StudyConfig:
    """Whose answers are made up here: their numbers mean nothing."""
    study: StudyConfig = make_study(
        exchange={"dtype": "fp32"}, pretraining={"rounds": 3, "optimizer_state": "fresh"}
    )
    return study


@pytest.fixture(scope="session")
def small_answer(
    small_study: StudyConfig, contract_office: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], Honest]:
    """`small_answer(round_number)`: an update of pre-training, made in no time."""
    office = contract_office.ContractOffice(tmp_path_factory.mktemp("office"))
    contract = office.draft(small_study)

    def make(number: int) -> Honest:
        return made_up(small_study, contract, number, num_tokens=40)

    return make


def made_up(study: StudyConfig, contract: StudyContract, number: int, *, num_tokens: int) -> Honest:
    """A round's answer with noise for an update."""
    dice = np.random.default_rng(number)
    shapes = update_shapes(study, "pretraining", number, num_tokens)
    update = {
        name: dice.standard_normal(shape, np.float32) * np.float32(1e-3)
        for name, shape in shapes.items()
    }
    metrics = {"learning_rate": 1e-4, "grad_norm": 0.5, "seconds": 1.5}
    report = TrainReport(SITE, 40, 2, 3.25, update, metrics=metrics)
    work = WorkId(study.digest, "pretraining", number, 1)
    admitted = Admitted(contract, contract.digest, study, work, f"{number:064x}", 7, num_tokens)
    return Honest(admitted, report.to_payload(study.exchange))


@pytest.fixture
def small_node(tmp_path: Path) -> Callable[..., NodeFolder]:
    """`small_node("hold = true", max_bytes_per_day=...)`: a node; called again, set anew."""

    def make(outbox: str = "", **ceilings: Any) -> NodeFolder:
        node = NodeFolder(tmp_path / "small")
        node.path.mkdir(exist_ok=True)
        write_site_file(node, tmp_path / SITE, outbox, **ceilings)
        return node

    return make


@pytest.fixture
def make_made_up(make_study: Callable[..., Any], contract_office: Any) -> Callable[..., Honest]:
    """`make_made_up(study_changes, num_tokens, folder)`: and a node's site file in the folder."""

    def make(changes: dict[str, Any], num_tokens: int, folder: Path) -> Honest:
        study = make_study(**{"pretraining": {"rounds": 1, "optimizer_state": "fresh"}, **changes})
        contract = contract_office.ContractOffice(folder).draft(study, max_tokens=100_000)
        write_site_file(NodeFolder(folder), folder / SITE)
        return made_up(study, contract, 1, num_tokens=num_tokens)

    return make
