"""`fedehr-server model list | export | import`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_shared.console import out, print_json

if TYPE_CHECKING:
    from fedehr_server.model_shelf import ModelShelf

app = typer.Typer(help="Pre-trained models that later studies may re-use.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The coordinator's folder.")]


@app.command("list")
def list_models(
    folder: Folder, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the encoders that studies pre-trained or that were imported."""
    shelf = _shelf(folder)
    found = []
    for digest in shelf.digests():
        model = shelf.take(digest)
        size = sum(tensor.size for tensor in model.weights.values())
        about = {"vocabulary": model.vocabulary, "heads": model.heads, "num_parameters": size}
        found.append({"digest": digest, **about})
    if json:
        print_json(found)
        return
    for one in found:
        out.print(f"{one['digest']}  {one['num_parameters']} parameters", soft_wrap=True)
        out.print("a study re-uses it with, in its TOML file:")
        out.print("[vocabulary]", markup=False)
        out.print(f'reuse = "{one["vocabulary"]}"', markup=False, soft_wrap=True)
        out.print("[pretraining]", markup=False)
        out.print(f'reuse = "{one["digest"]}"', markup=False, soft_wrap=True)
    if not found:
        out.print("no model yet: each study's is kept when its pre-training ends")


@app.command("export")
def export(
    folder: Folder,
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help="Its digest.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
) -> None:
    """Write a model to a file (safetensors), for another coordinator."""
    from fedehr_server.model_shelf import write_model
    from fedehr_shared.errors import UsageError

    if file.exists():
        raise UsageError(f"{file} exists already. Name a new file.")
    write_model(_shelf(folder).take(digest), file)
    out.print(f"wrote {file}", soft_wrap=True, markup=False)


@app.command("import")
def import_model(
    folder: Folder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A model that was exported.")],
) -> None:
    """Take a model from a file, so that studies may re-use it.

    Its vocabulary is imported apart: fedehr-server vocabulary import.
    """
    from fedehr_server.model_shelf import read_model

    digest = _shelf(folder).keep(read_model(file))
    out.print(f"kept model {digest}", soft_wrap=True)


def _shelf(folder: Path) -> "ModelShelf":
    from fedehr_server.model_shelf import FOLDER_NAME, ModelShelf
    from fedehr_server.network.coordinator import open_coordinator

    return ModelShelf(open_coordinator(folder).path / FOLDER_NAME)
