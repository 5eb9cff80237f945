"""A study's privacy as tables for a terminal."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table


def tables_of(found: dict[str, Any]) -> Iterator[Table]:
    """What `study_privacy` found, of a study with noise."""
    yield _account(found)
    yield _phases(found)
    yield _rounds(found)


def _account(found: dict[str, Any]) -> Table:
    unit, total = found["unit"], found["total"]
    name = f"{unit}_epsilon"
    table = Table("", "", title=f"privacy of study {found['study']}", show_header=False)
    target = found["target_epsilon"]
    rows = [
        ("mechanism", found["mechanism"]),
        ("unit", unit),
        ("neighboring data sets", f"one {unit} added or removed"),
        ("delta", f"{found['delta']:g}"),
        ("target epsilon", "none: the noise was given" if target is None else f"{target:g}"),
        ("noise multiplier", _multiplier(found)),
        (f"{name}, by RDP", f"{total[name]:.4f}"),
        (
            f"{name}, by PLD",
            f"{total[name + '_optimistic']:.4f} to {total[name + '_pessimistic']:.4f}",
        ),
        *[
            (
                f"one more round of {phase}",
                f"{more['after']:.4f} by RDP (+{more['adds']:.4f})",
            )
            for phase, more in found["next_round"].items()
        ],
    ]
    if "with_vocabulary" in found:
        both = found["with_vocabulary"]
        rows.append(
            (
                "with the vocabulary",
                f"{both['subject_epsilon']:.4f} by RDP at delta {both['delta']:g}",
            )
        )
    for row in rows:
        table.add_row(*row)
    return table


def _multiplier(found: dict[str, Any]) -> str:
    added, charged = found["noise_multiplier"], found["charged_multiplier"]
    if added == charged:
        return f"{added:g}"
    return f"{added:.6g} (charged as {charged:g}: the clipping norm's count takes the rest)"


def _phases(found: dict[str, Any]) -> Table:
    table = Table(
        "phase",
        "rounds",
        "steps",
        "rate",
        "alone",
        "RDP",
        "PLD",
        title=_title(found, "after each phase"),
    )
    name = f"{found['unit']}_epsilon"
    for own in found["phases"]:
        after = own["after"]
        bounds = f"{after[name + '_optimistic']:.4f} to {after[name + '_pessimistic']:.4f}"
        table.add_row(
            own["phase"],
            str(own["num_rounds"]),
            str(own["num_steps"]),
            f"{own['sample_rate']:g}",
            f"{own['alone']:.4f}",
            f"{after[name]:.4f}",
            bounds,
        )
    return table


def _rounds(found: dict[str, Any]) -> Table:
    table = Table("phase", "after round", "epsilon by RDP", title=_title(found, "by round"))
    for own in found["phases"]:
        for number, epsilon in own["rounds"].items():
            table.add_row(own["phase"], number, f"{epsilon:.4f}")
    return table


def _title(found: dict[str, Any], what: str) -> str:
    """No figure stands without its unit and its delta."""
    return f"{found['unit']}_epsilon {what}, at delta {found['delta']:g}"
