"""The figures of the report: forest plots, loss and AUROC by round, bytes by round."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from fedehr_simulations.report.drawing import GRID, INK, LINES, MARKERS, MUTED, SERIES, draw_svg
from fedehr_simulations.report.numbers import format_bytes, format_interval, withheld
from fedehr_simulations.verdict.verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Progress = Mapping[str, Sequence[Mapping[str, Any]]]
"""By arm, the parsed lines of its `progress.jsonl`."""
Curves = Mapping[str, tuple[list[int], list[float]]]
"""By name, rounds and figures."""


def draw_forest(verdict: Verdict, task: str, name: str) -> Markup:
    """AUROC of every arm with its interval, and the oracle as a line."""
    arms = [
        (arm, result.tasks[task]) for arm, result in verdict.arms.items() if task in result.tasks
    ]
    oracle = next((result.oracle for _, result in arms if result.oracle is not None), None)

    def paint(axes: "Axes") -> None:
        axes.axvline(0.5, color=MUTED, linestyle=":", linewidth=1)
        if oracle is not None:
            axes.axvline(oracle, color=INK, linestyle="--", linewidth=1.2)
            axes.annotate(
                f"oracle {oracle:.3f}",
                (oracle, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=9,
            )
        for row, (_, result) in enumerate(arms):
            score = result.auroc
            if score.value is None:
                axes.text(0.5, row, f" {withheld(verdict.min_cell)}", va="center", color=MUTED)
                continue
            color = SERIES[row % len(SERIES)]
            if score.low is not None and score.high is not None:
                axes.plot([score.low, score.high], [row, row], color=color, linewidth=2.5)
            axes.plot(score.value, row, marker=MARKERS[row % len(MARKERS)], color=color, ms=8)
        axes.set_yticks(range(len(arms)), [arm for arm, _ in arms])
        axes.set_ylim(len(arms) - 0.5, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("AUROC, 95 % interval")

    words = [f"{arm} {format_interval(r.auroc, verdict.min_cell)}" for arm, r in arms]
    if oracle is not None:
        words.append(f"oracle {oracle:.3f}")
    height = 1.1 + 0.38 * max(len(arms), 1)
    return draw_svg(name, f"AUROC by arm: {task}", "; ".join(words), height, paint)


def draw_pretraining(verdict: Verdict, name: str) -> Markup | None:
    """Masked-event loss by round, one line an arm; None without pre-training."""
    curves = {
        arm: _known(range(1, len(result.pretraining_loss) + 1), result.pretraining_loss)
        for arm, result in verdict.arms.items()
    }
    return _draw_curves(curves, name, "Pre-training loss by round", "masked-event loss (nats)")


def draw_finetuning(progress: Progress, task: str, name: str) -> Markup | None:
    """Fine-tuning AUROC by round, one line an arm; None where no arm reported any."""
    curves = {}
    for arm, events in progress.items():
        rounds = [
            event
            for event in events
            if event.get("event") == "round" and event.get("phase") == "finetuning"
        ]
        figures = [(event.get("auroc") or {}).get(task) for event in rounds]
        curves[arm] = _known([int(event["round"]) for event in rounds], figures)
    return _draw_curves(curves, name, f"Fine-tuning AUROC by round: {task}", "AUROC")


def draw_bytes(verdict: Verdict, name: str) -> Markup | None:
    """Bytes up and down in each message round; None where none travelled."""
    rounds = verdict.bytes.per_round
    if not rounds:
        return None

    def paint(axes: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        places = range(1, len(rounds) + 1)
        axes.bar(places, [r.up for r in rounds], color=SERIES[0], label="up (sites to server)")
        axes.bar(places, [-r.down for r in rounds], color=SERIES[1], label="down")
        axes.axhline(0, color=INK, linewidth=0.8)
        _mark_phases(axes, [r.phase for r in rounds])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_bytes(abs(value))))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("message round")
        axes.grid(visible=False, axis="x")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)

    up, down = sum(r.up for r in rounds), sum(r.down for r in rounds)
    words = f"{len(rounds)} rounds; {format_bytes(up)} up and {format_bytes(down)} down in all"
    return draw_svg(name, "Bytes by round", words, 2.9, paint)


def _mark_phases(axes: "Axes", phases: Sequence[str]) -> None:
    starts = [i for i, phase in enumerate(phases) if i == 0 or phases[i - 1] != phase]
    for row, start in enumerate(starts):
        axes.axvline(start + 0.5, color=GRID, linewidth=1)
        axes.annotate(
            phases[start],
            (start + 0.5, 1.0),
            xycoords=("data", "axes fraction"),
            # Two heights keep the names of short phases apart.
            xytext=(2, 3 + 11 * (row % 2)),
            textcoords="offset points",
            fontsize=8.5,
        )


def _known(rounds: Sequence[int], figures: Sequence[float | None]) -> tuple[list[int], list[float]]:
    pairs = [(r, f) for r, f in zip(rounds, figures, strict=True) if f is not None]
    return [r for r, _ in pairs], [f for _, f in pairs]


def _draw_curves(curves: Curves, name: str, title: str, unit: str) -> Markup | None:
    drawn = {label: curve for label, curve in curves.items() if curve[0]}
    if not drawn:
        return None

    def paint(axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        for number, (label, (rounds, figures)) in enumerate(drawn.items()):
            style = number % len(SERIES)
            axes.plot(
                rounds,
                figures,
                color=SERIES[style],
                linestyle=LINES[style],
                marker=MARKERS[style],
                markersize=4,
                # A leading underscore would hide the line from matplotlib's legend.
                label=f"\u200b{label}" if label.startswith("_") else label,
            )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("round")
        axes.set_ylabel(unit)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)

    words = [f"{label}: from {f[0]:.3f} to {f[-1]:.3f}" for label, (_, f) in drawn.items()]
    return draw_svg(name, title, "; ".join(words), 3.0, paint)
