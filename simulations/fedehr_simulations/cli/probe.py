"""`fedehr-sim probe`: was pre-training worth it?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_shared import console

if TYPE_CHECKING:
    from fedehr_simulations.cli.step_lines import StepLines
    from fedehr_simulations.probe.probe import ProbeOutcome
    from fedehr_simulations.probe.request import ProbeRequest


def probe(  # noqa: PLR0917 - a command line's parameters
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several are compared.")],
    sites: Annotated[Path, typer.Option(help="Federation folder with the labels.")],
    out: Annotated[
        Path | None,
        typer.Option(help="New folder for probe.json and map.html; without it there is no map."),
    ] = None,
    pooling: Annotated[
        str, typer.Option(help="mean, sum, or both with a comma; by default each study's own.")
    ] = "",
    labels: Annotated[
        str, typer.Option(help="Labels of the federation that a probe sees, with commas.")
    ] = "64,256,all",
    neighbors: Annotated[int, typer.Option(min=1, help="Neighbors of a held-out subject.")] = 10,
    all_checkpoints: Annotated[
        bool,
        typer.Option(
            "--all-checkpoints",
            help="All that the runs left, of both phases, instead of pre-training's last.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Tell what encodings know of the outcomes, before fine-tuning is paid for.

    A logistic regression on the frozen encodings, with few labels and with
    all, beside the same net untrained and a bag of codes; how often nearest
    neighbors share an outcome; how far sites are told apart. Of several runs,
    checkpoints or poolings the one that ranks the tuning split best is chosen,
    and only its held-out figures are shown.

    The map shows single subjects: with real records OUT must not leave this
    machine.
    """
    from fedehr_simulations.probe.request import ProbeRequest, parse_label_numbers, parse_names

    request = ProbeRequest(
        runs=tuple(runs),
        federation=sites,
        poolings=parse_names(pooling),
        label_numbers=parse_label_numbers(labels),
        num_neighbors=neighbors,
        all_checkpoints=all_checkpoints,
    )
    found, paths = _carry_out(request, out)
    if json:
        told = found.record.model_dump(mode="json")
        console.print_json({**told, "paths": {name: str(path) for name, path in paths.items()}})
        return
    from fedehr_simulations.cli.probe_tables import print_record

    print_record(found.record)
    for name, path in paths.items():
        console.out.print(f"{name}: {path}", markup=False, soft_wrap=True)


def _carry_out(request: "ProbeRequest", out: Path | None) -> "tuple[ProbeOutcome, dict[str, Path]]":
    """Probe, and write what was asked for."""
    from tempfile import TemporaryDirectory

    from fedehr_shared.errors import DataError
    from fedehr_simulations.cli.step_lines import StepLines
    from fedehr_simulations.probe.probe import probe_runs

    if out is not None and out.exists():
        raise DataError(f"{out} exists already. Name a new folder, or remove it first.")
    parent = None if out is None else out.absolute().parent
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    steps = StepLines("probe")
    with TemporaryDirectory(prefix=".fedehr-probe-", dir=parent) as work:
        found = probe_runs(request, Path(work), steps)
    return found, {} if out is None else _write(found, out, steps)


def _write(found: "ProbeOutcome", out: Path, steps: "StepLines") -> dict[str, Path]:
    from fedehr_simulations.probe.embedding import map_points
    from fedehr_simulations.probe.map_page import MAP_FILE, write_map
    from fedehr_simulations.probe.record import RECORD_FILE

    steps("placing held-out subjects on a map (t-SNE)")
    points = map_points(found.chosen)
    out.mkdir(mode=0o700)
    paths = {"record": out / RECORD_FILE}
    found.record.write(paths["record"])
    if points is None:
        steps("no map: there are too few held-out subjects")
    else:
        paths["map"] = out / MAP_FILE
        write_map(points, found.record, paths["map"])
    return paths
