"""The figure of attacks: members found by false alarms, beside what epsilon allows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from fedehr_simulations.attacks.bound import PrivacyBound
from fedehr_simulations.report.attack_table import attack_name
from fedehr_simulations.report.drawing import INK, LINES, MARKERS, MUTED, SERIES, draw_svg
from fedehr_simulations.verdict.membership import AttackBound, MembershipAttack

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST_RATE = 1e-3
_NUM_POINTS = 60


def draw_attacks(attacks: Sequence[MembershipAttack], name: str) -> Markup | None:
    """One line an attack on one model, over logarithmic axes; None where nothing is told.

    The dashed line is what (epsilon, delta) allows any attack, the dotted one is guessing.
    """
    told = [attack for attack in attacks if attack.curve]
    if not told:
        return None
    bound = told[0].bound

    def paint(axes: "Axes") -> None:
        axes.plot([_LEAST_RATE, 1], [_LEAST_RATE, 1], color=MUTED, linestyle=":", label="guessing")
        if bound is not None:
            _paint_bound(axes, bound)
        for number, attack in enumerate(told):
            axes.plot(
                [point.fpr for point in attack.curve],
                # A rate of 0 has no place on a logarithmic axis.
                [max(point.tpr, _LEAST_RATE) for point in attack.curve],
                color=SERIES[number % len(SERIES)],
                linestyle=LINES[number % len(LINES)],
                marker=MARKERS[number % len(MARKERS)],
                markersize=4,
                label=attack_name(attack),
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(_LEAST_RATE, 1)
        axes.set_ylim(_LEAST_RATE, 1.05)
        axes.set_xlabel("non-members called members (FPR)")
        axes.set_ylabel("members found (TPR)")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)

    words = [f"{attack_name(a)}: {_in_words(a)}" for a in told]
    dashed = "" if bound is None else f"dashed: epsilon {bound.epsilon:.2f}, delta {bound.delta:g}"
    words.append(dashed or "no bound")
    return draw_svg(name, f"Attacks on the {told[0].model} model", "; ".join(words), 3.6, paint)


def _paint_bound(axes: "Axes", bound: AttackBound) -> None:
    allowed = PrivacyBound(bound.epsilon, bound.delta)
    rates = [_LEAST_RATE ** (1 - place / _NUM_POINTS) for place in range(_NUM_POINTS + 1)]
    axes.plot(
        rates,
        [allowed.greatest_tpr(rate) for rate in rates],
        color=INK,
        linestyle="--",
        label=f"at most, by epsilon {bound.epsilon:.2f}, delta {bound.delta:g}",
    )


def _in_words(attack: MembershipAttack) -> str:
    first = attack.curve[0]
    return f"{first.tpr:.3f} of members at {first.fpr:g} false alarms"
