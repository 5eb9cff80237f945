"""`fedehr-client audit`: what happened at the node, and whether the record of it is whole."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fedehr_shared.console import out, print_json

if TYPE_CHECKING:
    from fedehr_client.audit.log import Audit

app = typer.Typer(
    name="audit",
    no_args_is_help=True,
    help="What happened at the node, and whether the record of it is whole.",
)

Node = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")]
Since = Annotated[
    str, typer.Option(metavar="TIME", help="From then on: 2026-01-31, or with a time, UTC.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def verify(
    node: Node,
    expect: Annotated[
        str, typer.Option(metavar="HASH", help="A hash of the node's audit noted down earlier.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Follow the chain of lines from the first to the last.

    A line that was edited, moved or removed is named; so is a cut end.
    Note the last hash down elsewhere, and give it with --expect later.
    """
    from fedehr_client.audit.verification import verify_audit

    first, *others = _audits(node)
    found = [verify_audit(first, expect), *map(verify_audit, others)]
    if as_json:
        print_json(found)
        return
    for one in found:
        torn = f", {one['num_torn']} torn by a crash" if one["num_torn"] else ""
        out.print(f"{one['file']}: whole, {one['num_lines']:,} lines{torn}", soft_wrap=True)
        out.print(f"  last hash {one['last_hash']}", soft_wrap=True)


@app.command()
def show(
    node: Node,
    since: Since = "",
    num: Annotated[int, typer.Option("--last", min=1, help="How many lines.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what happened, the newest last."""
    from fedehr_client.audit.export import entries

    found = entries(_audits(node)[0], since)[-num:]
    if as_json:
        print_json(found)
        return
    for entry in found:
        facts = {k: v for k, v in entry.items() if k not in {"time", "event", "previous"}}
        told = " ".join(f"{key}={_short(value)}" for key, value in facts.items())
        out.print(f"{entry['time'][:19]} {entry['event']} {told}", soft_wrap=True, markup=False)


@app.command()
def export(
    node: Node,
    form: Annotated[
        Literal["jsonl", "csv"], typer.Option("--format", help="jsonl keeps the chain.")
    ] = "jsonl",
    since: Since = "",
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A new file; else the output.")
    ] = None,
) -> None:
    """Write the lines for another system, after the chain was followed.

    In jsonl each line is that of the file, hash of the last included.
    """
    from fedehr_client.audit.export import exported

    text = exported(_audits(node)[0], form, since)
    if file is None:
        typer.echo(text, nl=False)
        return
    _write_new(file, text)
    out.print(f"wrote {file}", soft_wrap=True)


def _audits(node: Path) -> list["Audit"]:
    """The node's own, and where records were erased, that of the work folder."""
    from fedehr_client.audit.log import AUDIT_FILE, Audit
    from fedehr_client.node.folder import open_node

    folder = open_node(node)
    of_work = folder.config().site.work / AUDIT_FILE
    audits = [Audit(folder.audit_file)]
    return [*audits, Audit(of_work)] if of_work.is_file() else audits


def _write_new(file: Path, text: str) -> None:
    from fedehr_shared.errors import DataError, UsageError

    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise UsageError(f"{file} exists. Name a new file.") from error
    except OSError as error:
        raise DataError(f"cannot write {file}: {error.strerror}. Name another place.") from error


def _short(value: Any) -> str:
    is_digest = isinstance(value, str) and len(value) == 64
    return value[:12] if is_digest else str(value)
