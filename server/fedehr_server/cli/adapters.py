"""`fedehr-server adapters export | import | merge`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fedehr_shared.console import out, print_json

app = typer.Typer(
    help="Adapters of a finished run (tuning = 'lora'): to and from peft, or merged.",
    no_args_is_help=True,
)

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A finished run: study.json and checkpoints/.")
]
NewFolder = Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("export")
def export(run: RunFolder, new: NewFolder, json: Json = False) -> None:
    """Write a run's adapters in peft's format.

    OUT holds adapter_config.json and adapter_model.safetensors as peft
    reads them, heads.safetensors, and the frozen encoder below them in
    encoder.safetensors.
    """
    from fedehr_server.adapters.finished_run import FinishedRun
    from fedehr_server.adapters.new_folder import new_folder
    from fedehr_shared.model.lora.peft_folder import write_peft_folder

    finished = FinishedRun.read(run)
    with new_folder(new) as folder:
        write_peft_folder(folder, finished.study, finished.weights)
    _tell(new, finished.summary, json=json)


@app.command("import")
def import_adapters(
    peft: Annotated[
        Path, typer.Argument(metavar="PEFT_FOLDER", help="What peft or `adapters export` wrote.")
    ],
    new: NewFolder,
    run: Annotated[
        Path, typer.Option("--run", metavar="RUN", help="The run whose base they belong to.")
    ],
    json: Json = False,
) -> None:
    """Write a run anew with adapters (and heads) from a peft folder.

    The folder must hold exactly the adapters of the run's study. OUT is a
    run's folder, as RUN is one.
    """
    from dataclasses import replace

    from fedehr_server.adapters.finished_run import FinishedRun
    from fedehr_server.adapters.new_folder import new_folder
    from fedehr_shared.model.lora.peft_folder import read_peft_folder

    finished = FinishedRun.read(run)
    weights = read_peft_folder(peft, finished.study, finished.weights)
    with new_folder(new) as folder:
        replace(finished, weights=weights).write(folder)
    _tell(new, finished.summary, json=json)


@app.command("merge")
def merge(run: RunFolder, new: NewFolder, json: Json = False) -> None:
    """Write a run anew with its adapters folded into the matrices.

    The model computes the same and costs what it cost without adapters.
    OUT is a run's folder, whose study.json has no adapters any more.
    """
    from dataclasses import replace

    from fedehr_server.adapters.finished_run import FinishedRun
    from fedehr_server.adapters.new_folder import new_folder
    from fedehr_shared.model.lora.adapted_matrices import check_has_adapters
    from fedehr_shared.model.lora.merging import merged, without_adapters

    finished = FinishedRun.read(run)
    check_has_adapters(finished.study)
    weights = merged(finished.weights, finished.study)
    plain = replace(finished, weights=weights, study=without_adapters(finished.study))
    with new_folder(new) as folder:
        plain.write(folder)
    _tell(new, plain.summary, json=json)


def _tell(new: Path, summary: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json({"folder": str(new), **summary})
        return
    out.print(f"wrote {new}", soft_wrap=True, markup=False)
    for name, value in summary.items():
        out.print(f"{name}: {value}", soft_wrap=True, markup=False)
