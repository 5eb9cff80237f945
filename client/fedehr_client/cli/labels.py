"""`fedehr-client label tasks | make | import | list`: the outcomes that a site can be asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedehr_shared.console import err, out, print_json

if TYPE_CHECKING:
    from fedehr_client.tasks.making import MadeLabels, MakingRules

app = typer.Typer(
    name="label",
    help="Outcomes of subjects: made from the records by a task, or read from a file.",
    no_args_is_help=True,
)

Records = Annotated[
    Path, typer.Argument(metavar="SITE", help="A site folder, or a federation folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace labels that exist already.")]
AllowLeak = Annotated[
    str,
    typer.Option(
        "--allow-leak",
        metavar="REASON",
        help="Write labels that can be read in their input; the reason is kept beside them.",
    ),
]
MemoryLimit = Annotated[
    str, typer.Option("--memory-limit", help="Memory of the whole process, as 500MB or 2GB.")
]
Temp = Annotated[
    Path | None, typer.Option("--temp", help="Where rows go that do not fit into memory.")
]


class LabelKind(StrEnum):
    """The values of `--kind`."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    TIME_TO_EVENT = "time_to_event"


@app.callback()
def _root() -> None:
    pass


@app.command("tasks")
def tasks(
    show: Annotated[
        str, typer.Option("--show", metavar="NAME", help="Print this task's TOML.")
    ] = "",
    as_json: Json = False,
) -> None:
    """List the built-in tasks, or print one."""
    from fedehr_client.tasks.catalog import builtin_names, read_task, task_file

    if show:
        out.file.write(task_file(show).read_text(encoding="utf-8"))
        return
    found = [read_task(task_file(name)) for name in builtin_names()]
    if as_json:
        print_json([task.model_dump(mode="json") for task in found])
        return
    rows = [(task.name + " (template)" * task.template, task.description) for task in found]
    out.print(_table("built-in tasks", ("task", "what it asks"), rows))


@app.command("make")
def make(
    folder: Records,
    names: Annotated[
        list[str], typer.Argument(metavar="TASK...", help="Built-in names, or task files (.toml).")
    ],
    *,
    replace: Replace = False,
    allow_leak: AllowLeak = "",
    memory_limit: MemoryLimit = "1GB",
    temp: Temp = None,
    as_json: Json = False,
) -> None:
    """Label a site's records, or those of every site of a federation folder.

    Nothing is written unless all tasks could be made and no label can be read in its input.
    """
    from fedehr_client.tasks.making import make_all, read_tasks, sites_of

    definitions = read_tasks(names)
    sites = sites_of(folder)
    rules = _rules(memory_limit, temp, replace, allow_leak)
    with _progress() as report_step:
        made = make_all(sites, definitions, rules, report_step)
    if as_json:
        print_json([each.to_dict() for each in made])
        return
    for task, _ in definitions:
        own = [each for each in made if each.table.task == task.name]
        out.print(_counts_table(task.name, own))
        for each in own:
            _print_leakage(each)


@app.command("import")
def import_file(
    folder: Annotated[Path, typer.Argument(metavar="SITE", help="A site folder.")],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="CSV",
            help="subject_id, prediction_time, value; of times to an event also event.",
        ),
    ],
    *,
    task: Annotated[str, typer.Option("--task", help="The task's name.")],
    kind: Annotated[LabelKind, typer.Option("--kind", help="What `value` holds.")],
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", help="Of times without an offset; left out, the import's."),
    ] = None,
    subject_key: Annotated[
        Path | None,
        typer.Option(
            "--subject-key",
            help="The key_file of the CSV mapping: subject_id is then the hospital's own.",
        ),
    ] = None,
    max_bad_share: Annotated[
        float,
        typer.Option(
            "--max-bad-share", min=0.0, max=1.0, help="More bad rows than this share refuse it."
        ),
    ] = 0.01,
    replace: Replace = False,
    allow_leak: AllowLeak = "",
    memory_limit: MemoryLimit = "1GB",
    temp: Temp = None,
    as_json: Json = False,
) -> None:
    """Read labels that the hospital already has."""
    from fedehr_client.identity import IdentityHash
    from fedehr_client.tasks.label_file import FileReading
    from fedehr_client.tasks.making import import_labels, sites_of
    from fedehr_shared.errors import UsageError

    sites = sites_of(folder)
    if len(sites) > 1 or sites[0].path != folder:
        raise UsageError(f"{folder} is a federation folder. Name one of its sites.")
    rules = _rules(memory_limit, temp, replace, allow_leak)
    identity = None if subject_key is None else IdentityHash.read(subject_key)
    with _progress() as report_step:
        report_step("reading the labels")
        given, report = import_labels(
            sites[0],
            file,
            task,
            kind.value,
            rules,
            reading=FileReading(timezone, max_bad_share, identity),
        )
    if as_json:
        print_json({"task": task, **given, "leakage": report.to_dict()})
        return
    bad = [
        (reason.replace("_", " "), f"{told['num']:,}", _numbers(told["rows"]))
        for reason, told in given["bad_rows"].items()
    ]
    out.print(_table("rows left out", ("reason", "rows", "row numbers"), bad))
    out.print(f"{given['num']:,} labels of task '{task}' from {given['num_rows']:,} rows")
    if not report.has_enough:
        out.print("too few labels to test rules on them")


@app.command("list")
def list_all(folder: Records, as_json: Json = False) -> None:
    """List the tasks that a site, or every site, has labels for."""
    from fedehr_client.tasks.label_folder import list_labels
    from fedehr_client.tasks.making import sites_of

    found = {site.name: list_labels(site) for site in sites_of(folder)}
    if as_json:
        print_json({site: [each.to_dict() for each in own] for site, own in found.items()})
        return
    rows = [
        (
            site,
            each.task,
            each.kind,
            each.source,
            f"{each.num:,}",
            "-" if each.num_positive is None else f"{each.num_positive:,}",
        )
        for site, own in found.items()
        for each in own
    ]
    titles = ("site", "task", "kind", "from", "labels", "positive")
    out.print(_table("labels", titles, rows))


def _rules(memory_limit: str, temp: Path | None, replace: bool, allow_leak: str) -> "MakingRules":
    from fedehr_client.importers.engine.memory import parse_bytes, plan_memory
    from fedehr_client.tasks.making import MakingRules
    from fedehr_client.tasks.site_query import QueryLimits

    database_bytes = plan_memory(parse_bytes(memory_limit)).database_bytes
    return MakingRules(QueryLimits(database_bytes, temp), replace, allow_leak.strip())


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("starting", total=None)
        yield lambda step: progress.update(bar, description=step)


def _counts_table(task: str, made: "list[MadeLabels]") -> Any:
    titles = ("", *[each.table.site for each in made])
    tables = [each.table for each in made]
    rows = [("index events", *[f"{table.num_index_events:,}" for table in tables])]
    for reason in tables[0].left_out:
        counts = [f"{table.left_out[reason]:,}" for table in tables]
        rows.append((f"- {reason.replace('_', ' ')}", *counts))
    rows.append(("labels, one a subject", *[f"{table.num:,}" for table in tables]))
    rows.append(("of them positive", *[f"{table.num_positive:,}" for table in tables]))
    return _table(task, titles, rows)


def _print_leakage(made: "MadeLabels") -> None:
    site, report = made.table.site, made.leakage
    if report.is_leaking:
        out.print(f"{site}: LEAKS, written all the same: {report.explain()}", soft_wrap=True)
    elif not report.has_enough:
        out.print(f"{site}: no leak seen; too few labels to test rules on them")
    if report.num_undelayed_billing_codes:
        out.print(
            f"{site}: {report.num_undelayed_billing_codes:,} billing codes have no delay; right "
            "only where they are charted at the bedside",
            soft_wrap=True,
        )


def _numbers(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:10])) + (", ..." if len(rows) > 10 else "")


def _table(title: str, titles: tuple[str, ...], rows: Any) -> Any:
    from rich.table import Table

    table = Table(title=title)
    for name in titles:
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    return table
