"""`StudyFacts`: all that a person should know of a contract before deciding about it."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from fedehr_client.contracts.bound import Bound, bounds_of
from fedehr_client.contracts.crossing import Crossing, crossings
from fedehr_client.contracts.known_study import KnownStudy
from fedehr_client.contracts.leaving import leaving, staying
from fedehr_client.contracts.planned_epsilon import PlannedEpsilon, planned_epsilon
from fedehr_client.contracts.signer_facts import SignerFacts
from fedehr_client.contracts.training_subjects import TrainingSubjects
from fedehr_client.site import SiteConfig
from fedehr_shared.cells import cell_of
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.privacy.disclosure import Protection, has_noise
from fedehr_shared.privacy.in_words import privacy_in_words
from fedehr_shared.wire.work import PHASES, Phase


@dataclass(frozen=True)
class SentFact:
    """One kind of number or text that leaves.

    Attributes:
        what: in words.
        unit: of it; empty for none.
        subjects: whose records it follows from, by split.
        protection: in this phase of this study.
        reason: what it could tell all the same, or why it tells nothing.
    """

    what: str
    unit: str
    subjects: str
    protection: Protection
    reason: str


@dataclass(frozen=True)
class PhaseFacts:
    """One phase.

    Attributes:
        phase: which.
        num_rounds: of one run; each is answered once.
        max_answer_bytes: of one answer.
        max_bytes: of all answers of one run.
        has_noise: whether the site adds noise.
        sent: what leaves.
        kept: what the study keeps at the site of its own accord.
    """

    phase: Phase
    num_rounds: int
    max_answer_bytes: int
    max_bytes: int
    has_noise: bool
    sent: tuple[SentFact, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True)
class TaskFacts:
    """One outcome whose labels are used.

    Attributes:
        name: of the task.
        kind: of the outcome.
        has_labels: whether the site has labels for it; None: its records cannot be read.
    """

    name: str
    kind: str
    has_labels: bool | None


@dataclass(frozen=True)
class StudyFacts:
    """A contract as it looks from this site, now.

    Attributes:
        known: the contract.
        state: `KnownStudy.shown_state`.
        site: the site's name.
        coordinator: `host:port` that this node talks to.
        num_training_subjects: of the site; None: its records cannot be read.
        min_cell: what counts rest on: the greater of the study's and the site's.
        tasks: whose labels are used.
        phases: in their order.
        privacy: in words.
        epsilon: with the ledger.
        crossings: of the site's ceilings.
        bounds: every ceiling of the site beside what is asked.
        signer: who signed.
        faults: why the contract does not hold here and now.
    """

    known: KnownStudy
    state: str
    site: str
    coordinator: str
    num_training_subjects: int | None
    min_cell: int
    tasks: tuple[TaskFacts, ...]
    phases: tuple[PhaseFacts, ...]
    privacy: str
    epsilon: PlannedEpsilon
    crossings: tuple[Crossing, ...]
    bounds: tuple[Bound, ...]
    signer: SignerFacts
    faults: tuple[str, ...] = ()

    @property
    def contract(self) -> StudyContract:
        """The contract."""
        return self.known.contract

    @classmethod
    def of(
        cls, known: KnownStudy, config: SiteConfig, faults: tuple[str, ...] = ()
    ) -> "StudyFacts":
        """Look at everything that bears on the decision.

        Raises:
            DataError: the ledger is damaged or cannot be read.
            ConfigError: no noise keeps the study within its target.
        """
        contract, study = known.contract, known.study
        num_subjects = _num_subjects(config)
        epsilon = planned_epsilon(contract, config)
        crossed = crossings(contract, config.ceilings, num_subjects)
        if epsilon.crossing is not None:
            crossed.append(epsilon.crossing)
        return cls(
            known=known,
            state=known.shown_state(datetime.now(UTC)),
            site=config.site.name,
            coordinator=config.network.coordinator,
            num_training_subjects=num_subjects,
            min_cell=cell_of(study.vocabulary.min_cell, config.ceilings.min_cell),
            tasks=_tasks(contract, config),
            phases=tuple(
                _phase(contract, phase, contract.rounds[phase])
                for phase in PHASES
                if phase in contract.rounds
            ),
            privacy=privacy_in_words(study),
            epsilon=epsilon,
            crossings=tuple(crossed),
            bounds=bounds_of(contract, config, epsilon, num_subjects, crossed),
            signer=SignerFacts.of(known.signed),
            faults=faults,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        known, contract, study = self.known, self.contract, self.known.study
        return {
            "contract": known.digest,
            "study": study.name,
            "study_digest": study.digest,
            "state": self.state,
            "received": known.received,
            "decisions": [asdict(decision) for decision in known.decisions],
            "faults": list(self.faults),
            "site": self.site,
            "coordinator": {"signed": contract.coordinator, "configured": self.coordinator},
            "signer": asdict(self.signer),
            "created": contract.created,
            "deadline": contract.deadline,
            "sites": list(contract.sites),
            "min_sites": study.federation.min_sites,
            "round_deadline_seconds": study.federation.round_deadline_seconds,
            "num_runs": {"allowed": contract.num_runs, "begun": len(known.runs)},
            "num_rounds": {"of_a_run": known.num_rounds, "answered": known.num_rounds_answered},
            "records": {
                "num_training_subjects": self.num_training_subjects,
                "columns": list(contract.columns),
                "cohort": study.cohort.model_dump(mode="json"),
                "tasks": [asdict(task) for task in self.tasks],
                "min_cell": self.min_cell,
            },
            "phases": [asdict(phase) for phase in self.phases],
            "max_run_bytes": contract.max_run_bytes,
            "max_bytes": contract.max_run_bytes * contract.num_runs,
            "privacy": {
                "in_words": self.privacy,
                "neighbors": "add_or_remove_one_subject",
                "study": {
                    "subject_epsilon": contract.subject_epsilon,
                    "delta": contract.subject_delta,
                },
                "all_studies": {**asdict(self.epsilon), "left": self.epsilon.left},
            },
            "ceilings": [asdict(bound) for bound in self.bounds],
            "crossings": [asdict(crossing) for crossing in self.crossings],
            "versions": {
                "fedehr": contract.fedehr_version,
                "flwr": contract.flwr_version,
                "bundle_sha256": contract.bundle_sha256,
            },
        }


def _phase(contract: StudyContract, phase: Phase, num_rounds: int) -> PhaseFacts:
    study, size = contract.study, contract.max_answer_bytes[phase]
    return PhaseFacts(
        phase=phase,
        num_rounds=num_rounds,
        max_answer_bytes=size,
        max_bytes=size * num_rounds,
        has_noise=has_noise(study, phase),
        sent=tuple(
            SentFact(one.what, one.unit, one.subjects, one.protection_in(study, phase), one.reason)
            for one in leaving(study, phase)
        ),
        kept=tuple(one.what for one in staying(study, phase)),
    )


def _tasks(contract: StudyContract, config: SiteConfig) -> tuple[TaskFacts, ...]:
    records = SiteFolder(config.site.records)
    there = records.tasks if records.path.is_dir() else None
    return tuple(
        TaskFacts(name, task.kind, None if there is None else name in there)
        for name, task in contract.study.tasks_by_name.items()
    )


def _num_subjects(config: SiteConfig) -> int | None:
    try:
        return TrainingSubjects(config.site.records).count()
    except DataError:
        return None
