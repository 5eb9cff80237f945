"""The tables of a record: what is kept by way and epsilon, what was spent, and settings."""

from fedehr_simulations.privacy_trials.record import ArmResult, PrivacyRecord
from fedehr_simulations.report.text_table import TextTable
from fedehr_simulations.tuning_trials.tables import format_settings
from fedehr_simulations.verdict.result import Interval

_NONE = "-"
_PHASES = {"none": "none", "finetuning": "fine-tuning", "both": "both phases"}


def privacy_tables(record: PrivacyRecord) -> tuple[TextTable, ...]:
    """The best of the ways by epsilon; all of them; what they spend."""
    return _best(record), _kept(record), _spent(record)


def best_arm(arms: list[ArmResult]) -> ArmResult:
    """The one with the highest tuning score: held-out subjects do not choose."""
    return max(arms, key=lambda arm: arm.tuning_score or 0.0)


def _best(record: PrivacyRecord) -> TextTable:
    keys = dict.fromkeys((arm.scope, arm.target_epsilon) for arm in record.arms)
    rows = []
    for scope, target in keys:
        best = best_arm([a for a in record.arms if (a.scope, a.target_epsilon) == (scope, target)])
        rows.append((_PHASES[scope], _number(target), best.way, _percent(best.kept_of_best)))
    title = (
        f"The best way at each epsilon, by the tuning split: skill kept of `{record.best}` "
        "without noise"
    )
    return TextTable(title, ("noise in", "epsilon", "way", "skill kept"), tuple(rows))


def _kept(record: PrivacyRecord) -> TextTable:
    tasks = list(record.arms[0].scores) if record.arms else []
    rows = [
        (
            arm.way,
            _PHASES[arm.scope],
            _number(arm.target_epsilon),
            str(len(arm.seeds)),
            *(_auroc(arm.scores[task].auroc) for task in tasks),
            _percent(arm.kept_of_own),
            _percent(arm.kept_of_best),
        )
        for arm in record.arms
    ]
    title = (
        "Held-out subjects of all sites: AUROC, and the share kept of what is above 0.5 without "
        "noise, with 95 % intervals over subjects and seeds, paired"
    )
    header = (
        "way", "noise in", "epsilon", "seeds", *(f"{task}, AUROC" for task in tasks),
        "of the same way", f"of `{record.best}`",
    )  # fmt: skip
    return TextTable(title, header, tuple(rows))


def _spent(record: PrivacyRecord) -> TextTable:
    rows = [
        (
            arm.way,
            _PHASES[arm.scope],
            _number(arm.target_epsilon),
            _NONE if arm.subject_epsilon is None else f"{arm.subject_epsilon:.3f}",
            _history(arm),
            format_settings(arm.chosen),
            f"{arm.cpu_seconds:.0f}",
        )
        for arm in record.arms
    ]
    title = (
        f"Epsilon by subject as spent (RDP, delta {record.delta:g}, {record.relation}), noise x "
        "rate x steps, what the tuning split chose, processor time of the fine-tuning"
    )
    header = ("way", "noise in", "epsilon asked", "spent", "noisy steps", "chosen", "CPU s")
    return TextTable(title, header, tuple(rows))


def _history(arm: ArmResult) -> str:
    told = [f"{s.noise_multiplier:.3g} x {s.sample_rate:g} x {s.num_steps}" for s in arm.history]
    return "; ".join(told) or _NONE


def _number(target: float | None) -> str:
    return "none" if target is None else f"{target:g}"


def _auroc(interval: Interval) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return "withheld"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _percent(interval: Interval) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return _NONE
    return f"{100 * interval.value:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"
