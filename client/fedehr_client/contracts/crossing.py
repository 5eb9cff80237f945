"""`crossings`: where a contract asks for more than the site file allows."""

from collections.abc import Iterator
from dataclasses import dataclass

from fedehr_client.ledger.charge import unprotected_phases
from fedehr_client.site import CeilingsConfig
from fedehr_shared.contract.study_contract import StudyContract


@dataclass(frozen=True)
class Crossing:
    """One ceiling that a study crosses.

    Attributes:
        key: in the site file's `[ceilings]`.
        allowed: its value, in words.
        asked: what the study asks for, in words.
        next_step: what could be done about it.
    """

    key: str
    allowed: str
    asked: str
    next_step: str

    def __str__(self) -> str:
        """One sentence, and the next step."""
        return (
            f"the study asks for {self.asked}, and [ceilings] {self.key} of this site is "
            f"{self.allowed}. {self.next_step}"
        )


def crossings(
    contract: StudyContract, ceilings: CeilingsConfig, num_subjects: int | None = None
) -> list[Crossing]:
    """All that follow from the contract alone, and from how many subjects the site has.

    What privacy was spent before is the ledger's to say (`planned_epsilon`).

    Args:
        contract: what is asked.
        ceilings: what is allowed.
        num_subjects: training subjects of the site; None: not looked at.
    """
    found = (
        _study(contract, ceilings),
        _tasks(contract, ceilings),
        _min_cell(contract, ceilings),
        _min_sites(contract, ceilings),
        _bytes(contract, ceilings),
        _privacy(contract, ceilings),
        _subjects(ceilings, num_subjects),
    )
    return [crossing for each in found for crossing in each]


def _study(contract: StudyContract, ceilings: CeilingsConfig) -> Iterator[Crossing]:
    if ceilings.studies is not None and contract.study.name not in ceilings.studies:
        yield Crossing(
            "studies",
            _listed(ceilings.studies),
            f"the name '{contract.study.name}'",
            "Add the name there if the study may come here.",
        )


def _tasks(contract: StudyContract, ceilings: CeilingsConfig) -> Iterator[Crossing]:
    if ceilings.tasks is None:
        return
    others = [name for name in contract.study.finetuning.tasks if name not in ceilings.tasks]
    if others:
        yield Crossing(
            "tasks",
            _listed(ceilings.tasks),
            f"the labels of {_listed(others)}",
            "Add the task there if studies may learn it here.",
        )


def _min_cell(contract: StudyContract, ceilings: CeilingsConfig) -> Iterator[Crossing]:
    asked = contract.study.vocabulary.min_cell
    if asked < ceilings.min_cell:
        yield Crossing(
            "min_cell",
            f"{ceilings.min_cell}",
            f"numbers that rest on {asked} subjects",
            f"Ask the coordinator for [vocabulary] min_cell = {ceilings.min_cell}.",
        )


def _min_sites(contract: StudyContract, ceilings: CeilingsConfig) -> Iterator[Crossing]:
    asked = contract.study.federation.min_sites
    if asked < ceilings.min_sites:
        yield Crossing(
            "min_sites",
            f"{ceilings.min_sites}",
            f"rounds with the answers of {asked} site(s)",
            f"Ask the coordinator for [federation] min_sites = {ceilings.min_sites}.",
        )


def _bytes(contract: StudyContract, ceilings: CeilingsConfig) -> Iterator[Crossing]:
    most = ceilings.max_bytes_per_day
    largest = max(contract.max_answer_bytes.values(), default=0)
    if most is not None and largest > most:
        yield Crossing(
            "max_bytes_per_day",
            f"{most:,}",
            f"answers of up to {largest:,} bytes",
            "Raise it, or ask for a smaller model or a smaller [exchange] dtype.",
        )


def _privacy(contract: StudyContract, ceilings: CeilingsConfig) -> Iterator[Crossing]:
    phases = unprotected_phases(contract.study)
    if ceilings.require_privacy and phases:
        yield Crossing(
            "require_privacy",
            "true",
            f"{' and '.join(phases)} without noise of the site's own",
            "Ask the coordinator for [privacy] mechanism = 'local' with these phases.",
        )


def _subjects(ceilings: CeilingsConfig, num_subjects: int | None) -> Iterator[Crossing]:
    least = ceilings.min_subjects
    if least is not None and num_subjects is not None and num_subjects < least:
        yield Crossing(
            "min_subjects",
            f"{least:,}",
            f"work on the site's {num_subjects:,} training subjects",
            "Add records, or lower it.",
        )


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
