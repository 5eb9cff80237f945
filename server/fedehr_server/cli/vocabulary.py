"""`fedehr-server vocabulary list | show | export | import`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedehr_shared.console import out, print_json

if TYPE_CHECKING:
    from fedehr_server.vocabulary_shelf import VocabularyShelf

app = typer.Typer(help="Vocabularies that later studies may re-use.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The coordinator's folder.")]
Digest = Annotated[str, typer.Argument(metavar="DIGEST", help="Its digest, or how it begins.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_vocabularies(folder: Folder, json: Json = False) -> None:
    """List the vocabularies that studies agreed on or that were imported."""
    shelf = _shelf(folder)
    found = [_summary(shelf, digest) for digest in shelf.digests()]
    if json:
        print_json(found)
        return
    for one in found:
        out.print(f"{one['digest']}  {one['num_codes']} codes, {one['num_tokens']} tokens")
    if not found:
        out.print("no vocabulary yet: each study's is kept when its first phase ends")


@app.command("show")
def show(folder: Folder, digest: Digest, json: Json = False) -> None:
    """Show one vocabulary: its size, and with --json its codes."""
    shelf = _shelf(folder)
    summary = _summary(shelf, shelf.find(digest))
    if json:
        print_json(summary | {"codes": list(shelf.take(summary["digest"]).codes)})
        return
    for name, value in summary.items():
        out.print(f"{name}: {value}", soft_wrap=True)
    out.print("a study re-uses it with, in its TOML file:")
    out.print("[vocabulary]", markup=False)
    out.print(f'reuse = "{summary["digest"]}"', markup=False, soft_wrap=True)


@app.command("export")
def export(
    folder: Folder,
    digest: Digest,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
) -> None:
    """Write a vocabulary to a file, for another coordinator or a simulation."""
    from fedehr_shared.errors import UsageError

    shelf = _shelf(folder)
    vocabulary = shelf.take(shelf.find(digest))
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(vocabulary.to_json() + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}. Name a new file.") from error
    out.print(f"wrote {file}", soft_wrap=True, markup=False)


@app.command("import")
def import_vocabulary(
    folder: Folder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A vocabulary that was exported.")],
) -> None:
    """Take a vocabulary from a file, so that studies may re-use it."""
    from fedehr_server.vocabulary_shelf import read_vocabulary_file

    vocabulary = read_vocabulary_file(file)
    _shelf(folder).keep(vocabulary)
    out.print(f"kept vocabulary {vocabulary.digest}", soft_wrap=True)


def _shelf(folder: Path) -> "VocabularyShelf":
    from fedehr_server.network.coordinator import open_coordinator
    from fedehr_server.vocabulary_shelf import FOLDER_NAME, VocabularyShelf

    return VocabularyShelf(open_coordinator(folder).path / FOLDER_NAME)


def _summary(shelf: "VocabularyShelf", digest: str) -> dict[str, Any]:
    vocabulary = shelf.take(digest)
    return {
        "digest": digest,
        "num_codes": len(vocabulary.codes),
        "num_codes_with_values": sum(cuts is not None for cuts in vocabulary.cuts),
        "num_hash_buckets": vocabulary.num_hash_buckets,
        "num_tokens": vocabulary.num_tokens,
    }
