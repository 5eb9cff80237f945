"""`BudgetOverview`: what a site's subjects have spent, and what comes next."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.ledger.charge import Charge, planned_charges, spending_of
from fedehr_client.ledger.entry import Entry, Noted, Reserved
from fedehr_client.ledger.ledger_file import LedgerFile
from fedehr_client.ledger.spending import Spending
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError


@dataclass(frozen=True)
class PhaseSpending:
    """One phase of one study.

    Attributes:
        phase: which.
        num_charged: by round, how often it was charged: more than once where its answer was lost.
        num_steps: noisy steps charged.
        subject_epsilon: of these alone; what phases and studies cost alone does not add up.
    """

    phase: str
    num_charged: dict[int, int]
    num_steps: int
    subject_epsilon: float


@dataclass(frozen=True)
class NextRound:
    """What an open study asks next.

    Attributes:
        phase: of the round.
        round: from 1.
        subject_epsilon: that all will have cost with it.
        subject_epsilon_at_end: that all will have cost with the rest of the study.
        is_within: whether the round stays within the ceiling.
    """

    phase: str
    round: int
    subject_epsilon: float
    subject_epsilon_at_end: float
    is_within: bool


@dataclass(frozen=True)
class StudySpending:
    """One study.

    Attributes:
        study: its digest.
        name: its name.
        is_open: it has begun and not come to its evaluation.
        subject_epsilon: of its charges alone.
        phases: with charges.
        next: None where it is over, or where its text is not there.
    """

    study: str
    name: str
    is_open: bool
    subject_epsilon: float
    phases: tuple[PhaseSpending, ...]
    next: NextRound | None


@dataclass(frozen=True)
class BudgetOverview:
    """The whole account.

    Attributes:
        ceiling: the site's.
        spent: epsilon of all charges together, at the ceiling's delta; infinite where the
            vocabularies' naming used that delta up.
        naming_delta: what they used of it.
        num_charges: rounds charged.
        last_digest: of the ledger's newest line; written down elsewhere, it shows later whether
            a line of today is missing.
        studies: in the order in which they began.
        unprotected: studies, by name and phase, that trained here without noise: no epsilon
            covers what they sent.
    """

    ceiling: Ceiling
    spent: float
    naming_delta: float
    num_charges: int
    last_digest: str
    studies: tuple[StudySpending, ...]
    unprotected: tuple[tuple[str, str], ...]

    @property
    def left(self) -> float | None:
        """What is left below the ceiling; None without one."""
        most = self.ceiling.subject_epsilon
        return None if most is None else max(0.0, most - self.spent)


def overview(ledger: LedgerFile, ceiling: Ceiling) -> BudgetOverview:
    """Reckon up a ledger.

    Raises:
        DataError: it is damaged or cannot be read.
    """
    entries = ledger.read()
    spending = Spending.of(entries)
    studies = dict.fromkeys(e.study for e in entries if isinstance(e, Reserved | Noted))
    told = [_study(ledger, study, entries, ceiling) for study in studies]
    bare = [e for e in entries if isinstance(e, Noted) and e.event == "unprotected"]
    return BudgetOverview(
        ceiling=ceiling,
        spent=spending.subject_epsilon(ceiling.subject_delta),
        naming_delta=spending.naming_delta,
        num_charges=sum(isinstance(entry, Reserved) for entry in entries),
        last_digest=ledger.last_digest(),
        studies=tuple(study for study in told if study.phases or study.is_open),
        unprotected=tuple((entry.name, entry.phase) for entry in bare),
    )


def _study(
    ledger: LedgerFile, digest: str, entries: Sequence[Entry], ceiling: Ceiling
) -> StudySpending:
    own = [e for e in entries if isinstance(e, Reserved | Noted) and e.study == digest]
    charged = [entry for entry in own if isinstance(entry, Reserved)]
    turns = [e.event for e in own if isinstance(e, Noted) and e.event != "unprotected"]
    is_open = turns[-1:] == ["begin"]
    text = ledger.studies.find(digest) if is_open else None
    return StudySpending(
        study=digest,
        name=own[0].name,
        is_open=is_open,
        subject_epsilon=Spending.of(charged).subject_epsilon(ceiling.subject_delta),
        phases=tuple(_phases(charged, ceiling)),
        next=None if text is None else _next(text, charged, Spending.of(entries), ceiling),
    )


def _phases(charged: Sequence[Reserved], ceiling: Ceiling) -> Iterable[PhaseSpending]:
    for phase in dict.fromkeys(entry.phase for entry in charged):
        own = [entry for entry in charged if entry.phase == phase]
        yield PhaseSpending(
            phase=phase,
            num_charged=dict(sorted(Counter(entry.round for entry in own).items())),
            num_steps=sum(entry.num_steps for entry in own),
            subject_epsilon=Spending.of(own).subject_epsilon(ceiling.subject_delta),
        )


def _next(
    study: StudyConfig, charged: Sequence[Reserved], spent: Spending, ceiling: Ceiling
) -> NextRound | None:
    due = _due(study, charged)
    if not due:
        return None
    delta, most = ceiling.subject_delta, ceiling.subject_epsilon
    after = spent.plus(spending_of(due[:1])).subject_epsilon(delta)
    return NextRound(
        phase=due[0].phase,
        round=due[0].round,
        subject_epsilon=after,
        subject_epsilon_at_end=spent.plus(spending_of(due)).subject_epsilon(delta),
        is_within=most is None or after <= most,
    )


def _due(study: StudyConfig, charged: Sequence[Reserved]) -> list[Charge]:
    """The rounds after the one that was charged last."""
    try:
        planned = planned_charges(study)
    except ConfigError:
        return []
    if not charged:
        return planned
    places = [(charge.phase, charge.round) for charge in planned]
    last = (charged[-1].phase, charged[-1].round)
    return planned[places.index(last) + 1 :] if last in places else []
