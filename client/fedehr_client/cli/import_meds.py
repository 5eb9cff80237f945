"""`fedehr-client import meds`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_client.cli.import_options import import_command
from fedehr_shared.errors import UsageError

if TYPE_CHECKING:
    from fedehr_client.importers.meds.importer import MedsImporter


@import_command
def import_meds(
    source: Annotated[Path, typer.Argument(help="The dataset (data/, metadata/); only read.")],
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Folder of its labels, one file a task.")
    ] = None,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Take no labels.")] = False,
    delays: Annotated[
        list[str] | None,
        typer.Option(
            "--delay",
            metavar="PREFIX=HOURS",
            help="How much later codes of this prefix are known; may be repeated. Left out: "
            "72 hours for DIAGNOSIS//, PROCEDURE//, DRG// and HCPCS//.",
        ),
    ] = None,
) -> "MedsImporter":
    """Import MEDS of another tool (0.3 to 0.4), repaired while it is copied."""
    from fedehr_client.importers.meds.importer import MedsImporter

    if labels and no_labels:
        raise UsageError("--labels and --no-labels cannot both be given.")
    if labels and not labels.is_dir():
        raise UsageError(f"there is no folder {labels}. Check --labels.")
    parsed = tuple(_parse_delay(text) for text in delays) if delays else None
    return MedsImporter(source, False if no_labels else labels, parsed)


def _parse_delay(text: str) -> tuple[str, float]:
    prefix, _, hours = text.rpartition("=")
    try:
        delay = float(hours)
    except ValueError:
        delay = -1.0
    if not prefix or not 0 <= delay <= 24 * 366:
        raise UsageError(f"--delay {text}: write it as PREFIX=HOURS, such as DIAGNOSIS//=72.")
    return prefix, delay
