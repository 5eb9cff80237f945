"""The attacks of a verdict as a table, the same in the terminal and in the page."""

from collections.abc import Sequence

from fedehr_simulations.report.text_table import TextTable
from fedehr_simulations.verdict.membership import FIGURES, Figure, MembershipAttack
from fedehr_simulations.verdict.result import Interval

TITLES: dict[Figure, str] = {
    "auroc": "AUROC",
    "balanced_accuracy": "balanced accuracy",
    "tpr_at_1_percent": "TPR at FPR 1 %",
    "tpr_at_0_1_percent": "TPR at FPR 0.1 %",
}
_WITHHELD = "withheld"


def attack_table(attacks: Sequence[MembershipAttack]) -> TextTable:
    """One row an attack, and below a model's the most that its epsilon allows."""
    rows = []
    for place, attack in enumerate(attacks):
        figures = [_figure(attack.figure(name)) for name in FIGURES]
        rows.append((attack_name(attack), *figures))
        is_last = place + 1 == len(attacks) or attacks[place + 1].model != attack.model
        if is_last:
            rows.append(_bound_row(attack))
    header = ("attack", *(TITLES[name] for name in FIGURES))
    return TextTable("members of the training told from others", header, tuple(rows))


def attack_name(attack: MembershipAttack) -> str:
    """`finetuned, lira of 8`."""
    shadows = f" of {attack.num_shadows}" if attack.num_shadows else ""
    return f"{attack.model}, {attack.attack}{shadows}"


def attack_notes(attacks: Sequence[MembershipAttack]) -> list[str]:
    """Why figures are missing, and what the numbers rest on."""
    notes = [
        f"{attack_name(attack)}: {attack.num_members:,} members and {attack.num_non_members:,} "
        "others of the same hospitals."
        for attack in attacks
        if attack.num_members is not None and attack.num_non_members is not None
    ]
    reasons = [attack.figure(name).reason for attack in attacks for name in FIGURES]
    notes += [f"withheld: {reason}" for reason in dict.fromkeys(reasons) if reason is not None]
    if any(attack.bound is None for attack in attacks):
        notes.append(
            "no bound: no noise of the sites' own covers all that the model learnt of its subjects."
        )
    if any(attack.bound is not None for attack in attacks):
        notes.append("at most: by the subject_epsilon of one subject added or removed.")
    if any(attack.attack == "lira" for attack in attacks):
        notes.append(
            "lira: the more shadow models, the stronger; attackers with hundreds find more."
        )
    return notes


def _bound_row(attack: MembershipAttack) -> tuple[str, ...]:
    bound = attack.bound
    if bound is None:
        return (f"{attack.model}, at most", *("no bound" for _ in FIGURES))
    name = f"{attack.model}, at most by epsilon {bound.epsilon:.2f}, delta {bound.delta:g}"
    return (name, *(f"{getattr(bound, figure):.3f}" for figure in FIGURES))


def _figure(interval: Interval) -> str:
    if interval.value is None:
        return _WITHHELD
    if interval.low is None or interval.high is None:
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} ({interval.low:.2f} to {interval.high:.2f})"
