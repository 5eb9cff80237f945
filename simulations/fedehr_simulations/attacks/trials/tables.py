"""The tables of an `AttackRecord`, for a terminal and for a page."""

from fedehr_simulations.attacks.bound import PrivacyBound
from fedehr_simulations.attacks.canaries import UNLEARNT_BITS
from fedehr_simulations.attacks.trials.record import AttackRecord, MembershipResult
from fedehr_simulations.report.text_table import TextTable
from fedehr_simulations.verdict.membership import MembershipAttack
from fedehr_simulations.verdict.result import Interval

_RATE = 0.1


def attack_tables(record: AttackRecord) -> list[TextTable]:
    """One a kind of attack."""
    return [
        TextTable(
            f"Membership of the fine-tuned model; lira with {record.num_shadows} shadow models",
            (
                "epsilon",
                "model's AUROC",
                "attack",
                "AUROC",
                "balanced accuracy",
                "TPR at FPR 10 %",
                "at most: AUROC",
                "at most: TPR at FPR 10 %",
            ),
            tuple(_membership_row(own, a) for own in record.membership for a in own.attacks),
        ),
        TextTable(
            f"Canaries: exposure in bits; {UNLEARNT_BITS:.2f} is the mean of what was not learnt",
            ("epsilon", "canaries", "mean", "highest", "AUROC against references"),
            tuple(
                (
                    _epsilon(own.target_epsilon),
                    str(len(own.exposures)),
                    f"{sum(own.exposures) / len(own.exposures):.2f}",
                    f"{max(own.exposures):.2f}",
                    f"{own.auroc:.3f}",
                )
                for own in record.canaries
            ),
        ),
        TextTable(
            "Codes of one subject, read from one step",
            ("what is shown", "subjects of the step", "epsilon", "by", "precision", "recall"),
            tuple(
                (
                    own.shown,
                    str(own.num_subjects),
                    "-" if own.shown == "nothing" else _epsilon(own.target_epsilon),
                    own.method,
                    f"{own.precision:.2f}",
                    f"{own.recall:.2f}",
                )
                for own in record.inversion
            ),
        ),
        TextTable(
            "Epsilon that the real mechanism shows, at least, and what is claimed",
            ("mechanism", "delta", "trials", "shown", "claimed"),
            tuple(
                (
                    own.mechanism,
                    f"{own.delta:g}",
                    f"{own.num_trials:,}",
                    f"{own.shown:.2f}",
                    f"{own.claimed:.2f}",
                )
                for own in record.audit
            ),
        ),
    ]


def _membership_row(own: MembershipResult, attack: MembershipAttack) -> tuple[str, ...]:
    found = next((point for point in attack.curve if point.fpr == _RATE), None)
    bound = attack.bound
    allowed = None if bound is None else PrivacyBound(bound.epsilon, bound.delta)
    return (
        _epsilon(own.target_epsilon),
        _range(own),
        attack.attack,
        _figure(attack.auroc),
        _figure(attack.balanced_accuracy),
        "withheld" if found is None else f"{found.tpr:.3f}",
        "no bound" if bound is None else f"{bound.auroc:.3f}",
        "no bound" if allowed is None else f"{allowed.greatest_tpr(_RATE):.3f}",
    )


def _range(own: MembershipResult) -> str:
    if own.auroc_least is None or own.auroc_greatest is None:
        return "withheld"
    return f"{own.auroc_least:.2f} to {own.auroc_greatest:.2f}"


def _figure(interval: Interval) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return "withheld"
    return f"{interval.value:.3f} ({interval.low:.2f} to {interval.high:.2f})"


def _epsilon(target: float | None) -> str:
    return "none" if target is None else f"{target:g}"
