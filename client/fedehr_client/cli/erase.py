"""`fedehr-client erase`: subjects who withdraw leave a site's records and all made of them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedehr_shared.console import err, out, print_json
from fedehr_shared.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from fedehr_client.erasure.place import Place
    from fedehr_client.erasure.site import ReportStep
    from fedehr_client.erasure.summary import ErasureSummary

app = typer.Typer()

_STDIN = "-"


@app.command()
def erase(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="A site folder, or a federation folder."),
    ] = None,
    *,
    site_file: Annotated[
        Path | None, typer.Option("--site-file", help="The node's site.toml, instead of FOLDER.")
    ] = None,
    work: Annotated[
        Path | None, typer.Option("--work", help="The work folder with the token stores.")
    ] = None,
    listed: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="A file with one subject_id a line; - reads standard input. Recommended: "
            "identifiers then stay out of the shell's history.",
        ),
    ] = None,
    subjects: Annotated[
        list[str] | None,
        typer.Option("--subject", metavar="ID", help="A subject_id; may be repeated."),
    ] = None,
    subject_key: Annotated[
        Path | None,
        typer.Option(
            "--subject-key",
            help="The key_file of the CSV mapping: identifiers are then the hospital's own.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Erase subjects who withdraw: events, splits, labels and token stores, for good.

    A re-import leaves them out from then on. Without any subject an erasure that was
    interrupted is brought to its end. Backups and the source of the records are yours to clean.
    """
    from fedehr_client.erasure.site import SiteErasure
    from fedehr_client.erasure.summary import survey_places

    subject_ids = _read_subjects(listed, subjects or [], subject_key)
    places = _find_places(folder, site_file, work)
    with _step_progress() as report_step:
        summary = survey_places(places, subject_ids, report_step)
    if summary.is_empty:
        raise UsageError("nobody is named and nothing is unfinished. Use --from or --subject.")
    if not (dry_run or yes):
        _print_summary(err, summary, places, "to be erased")
        _confirm(listed)
    if not dry_run:
        with _step_progress() as report_step:
            for place in places:
                SiteErasure(place, report_step).erase(subject_ids)
    if as_json:
        print_json({"dry_run": dry_run, **summary.to_dict()})
    else:
        _print_summary(out, summary, places, "would be erased" if dry_run else "erased")


@contextmanager
def _step_progress() -> "Iterator[ReportStep]":
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("starting", total=None)
        yield lambda step: progress.update(bar, description=step)


def _read_subjects(
    listed: str | None, subjects: list[str], subject_key: Path | None
) -> frozenset[int]:
    from fedehr_client.erasure.request import parse_subjects
    from fedehr_client.identity import IdentityHash

    identity = None if subject_key is None else IdentityHash.read(subject_key)
    named = parse_subjects(subjects, "the --subject options", identity)
    if listed is None:
        return named
    if listed == _STDIN:
        return named | parse_subjects(sys.stdin, "standard input", identity)
    try:
        lines = Path(listed).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read {listed} as UTF-8 text. Check the path and its permissions."
        ) from error
    return named | parse_subjects(lines, listed, identity)


def _find_places(folder: Path | None, site_file: Path | None, work: Path | None) -> list["Place"]:
    from fedehr_client.erasure.place import find_places
    from fedehr_client.site import SiteConfig

    if (folder is None) == (site_file is None):
        raise UsageError("name either a FOLDER or a --site-file.")
    if folder is not None:
        return find_places(folder, work)
    assert site_file is not None
    _require_stopped(site_file)
    site = SiteConfig.load(site_file).site
    return find_places(site.records, work or site.work)


def _require_stopped(site_file: Path) -> None:
    """A running node may hold a token store open, or be about to write one."""
    from fedehr_client.node.folder import NodeFolder
    from fedehr_client.supervision.running_node import RunningNode

    folder = NodeFolder(site_file.absolute().parent)
    if RunningNode(folder).is_running():
        raise UsageError(
            f"the node runs, and may hold what is to be erased. Stop it first: "
            f"fedehr-client stop {folder.path}"
        )


def _confirm(listed: str | None) -> None:
    """Ask a person; the answer comes from the terminal where the list came by standard input."""
    if listed != _STDIN:
        typer.confirm("erase them for good?", abort=True, err=True)
        return
    try:
        with Path("/dev/tty").open(encoding="utf-8") as terminal:
            err.print("erase them for good? [y/N]: ", end="", markup=False)
            answer = terminal.readline().strip().lower()
    except OSError as error:
        raise UsageError("there is no terminal to ask at. Add --yes.") from error
    if answer not in {"y", "yes"}:
        raise typer.Abort


def _print_summary(
    console: "Console", summary: "ErasureSummary", places: list["Place"], title: str
) -> None:
    console.print(_site_table(summary, title))
    console.print(
        f"{summary.num_subjects:,} subject(s) asked; {summary.num_recorded:,} recorded as "
        f"withdrawn before; {summary.num_unknown:,} of the others not in these records"
    )
    for name in summary.unfinished:
        console.print(f"an earlier erasure at site {name} had not ended")
    if any(place.work is None for place in places):
        console.print("no --work folder named: token stores were not looked for")
    console.print("backups, the source, and models trained before are not changed by this")


def _site_table(summary: "ErasureSummary", title: str) -> Any:
    from rich.table import Table

    table = Table(title=title)
    table.add_column("site")
    for heading in ("subjects", "events", "labels", "token stores"):
        table.add_column(heading, justify="right")
    for name, found in summary.sites.items():
        counts = (found.num_found, found.num_events, found.num_labels, found.num_caches)
        table.add_row(name, *[f"{count:,}" for count in counts])
    return table
