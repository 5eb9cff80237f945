"""`fedehr-sim run`: one federated study on Flower's simulation engine."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedehr_shared import console

if TYPE_CHECKING:
    from fedehr_shared.config import StudyConfig

RUN_NAME = "federated"
"""The run's folder below `--out`: `RUN/runs/federated`."""


def run(  # noqa: PLR0917 - a command line's parameters
    study: Annotated[Path, typer.Argument(help="The study file (TOML).")],
    sites: Annotated[Path, typer.Option(help="Federation folder to run over.")],
    out: Annotated[Path, typer.Option(help="New folder for everything that the run writes.")],
    actors: Annotated[
        int | None,
        typer.Option(min=1, help="Sites that work at the same time; by default one a core."),
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(help="Re-use this vocabulary: an earlier run's vocabulary.json."),
    ] = None,
    compute: Annotated[
        Path | None,
        typer.Option(help="A TOML file whose section 'compute' holds for all sites."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Run a study over the sites of a federation folder, as hospitals would.

    The real server and client apps run on this machine, in a network of their own where the
    system allows one; nothing of it stays behind but the folder OUT.
    """
    from fedehr_shared.config import StudyConfig
    from fedehr_shared.errors import DataError
    from fedehr_simulations.arms.comparison import judge_run
    from fedehr_simulations.arms.federated import FederatedRun
    from fedehr_simulations.arms.request import WORK_FOLDER
    from fedehr_simulations.cli.compare import print_comparison, show_piece
    from fedehr_simulations.cli.live_progress import LiveProgress
    from fedehr_simulations.sites_compute import set_sites_compute

    began = time.monotonic()
    set_sites_compute(compute)
    config = StudyConfig.load(study)
    if out.exists():
        raise DataError(f"{out} exists already. Name a new folder, or remove it first.")
    if vocabulary is not None or config.vocabulary.reuse:
        config = _reuse(config, vocabulary, sites, out)
    simulation = FederatedRun(RUN_NAME, config, sites, out, out / WORK_FOLDER)
    with LiveProgress(console.err, config.name) as progress:
        result = simulation.simulate(progress, actors)
    found = judge_run(simulation, began, show_piece)
    if json:
        paths = _paths(out) | {name: str(path) for name, path in found.paths.items()}
        console.print_json({**result, "paths": paths})
        return
    _print_result(result, _paths(out))
    print_comparison(found)


def _reuse(config: "StudyConfig", file: Path | None, sites: Path, out: Path) -> "StudyConfig":
    """The study with the vocabulary that it re-uses, laid where the coordinator finds it."""
    from fedehr_server.vocabulary_shelf import (
        FOLDER_NAME,
        VocabularyShelf,
        read_vocabulary_file,
    )
    from fedehr_shared.errors import UsageError
    from fedehr_simulations.engine.request import check_request

    wanted = config.vocabulary.reuse
    if file is None:
        raise UsageError(f"the study re-uses vocabulary {wanted}. Give it with --vocabulary FILE.")
    vocabulary = read_vocabulary_file(file)
    if wanted not in {"", vocabulary.digest}:
        raise UsageError(
            f"the study re-uses vocabulary {wanted}, and {file} is {vocabulary.digest}. Give the "
            "file that the study names, or mend [vocabulary] reuse."
        )
    # What would refuse the run must do so before its folder is there.
    check_request(config, sites)
    out.mkdir(mode=0o700, parents=True)
    VocabularyShelf(out / FOLDER_NAME).keep(vocabulary)
    section = config.vocabulary.model_copy(update={"reuse": vocabulary.digest})
    return config.model_copy(update={"vocabulary": section})


def _paths(out: Path) -> dict[str, str]:
    """What the run left, by name."""
    folder = out.absolute() / "runs" / RUN_NAME
    paths = {
        "result": folder / "result.json",
        "vocabulary": folder / "vocabulary.json",
        "evaluation": folder / "evaluation.json",
        "checkpoints": folder / "checkpoints",
        "progress": folder / "progress.jsonl",
        "log": out.absolute() / "logs" / f"{RUN_NAME}.log",
    }
    return {name: str(path) for name, path in paths.items() if path.exists()}


def _print_result(result: dict[str, Any], paths: dict[str, str]) -> None:
    console.out.print(f"{result['status']} with {len(result.get('sites', []))} site(s)")
    losses = [loss for loss in result.get("pretraining_loss") or [] if loss is not None]
    if losses:
        beside = _beside(result.get("training", {}).get("pretraining", {}))
        console.out.print(f"pre-training loss: {losses[0]:.4f} -> {losses[-1]:.4f} nats{beside}")
    for site, shares in result.get("back_off", {}).items():
        told = ", ".join(f"{step} {_percent(share)}" for step, share in shares.items())
        console.out.print(f"events of {site} by their code: {told}", markup=False)
    for site, cost in result.get("privacy", {}).items():
        told = ", ".join(f"{name} {value:.3g}" for name, value in cost.items())
        console.out.print(f"noise of {site} in the vocabulary phase: {told}", markup=False)
    for name, path in paths.items():
        console.out.print(f"{name}: {path}", markup=False, soft_wrap=True)


def _beside(sites: dict[str, dict[str, float]]) -> str:
    """What a model loses that knows the code frequencies alone, the sites weighing alike."""
    told = [numbers["code_entropy"] for numbers in sites.values() if "code_entropy" in numbers]
    return f" (sites' mean code entropy {sum(told) / len(told):.2f})" if told else ""


def _percent(share: float | None) -> str:
    return "withheld" if share is None else f"{share:.1%}"
