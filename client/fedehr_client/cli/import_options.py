"""What all `fedehr-client import` commands share: options, progress, summary.

    @import_command
    def import_omop(source: ..., concepts: ...) -> "Importer":
        "One line of help."

takes the command's own options and returns its importer; the decorator adds the shared
options and runs it. Imports of the importer belong inside the function.

With `@import_command(preview=show)` the command also has `--preview`, which calls
`show(importer, settings, as_json)` and writes nothing; then `--out` is not needed.
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, overload

import typer

from fedehr_shared.console import err, print_json
from fedehr_shared.errors import UsageError

if TYPE_CHECKING:
    from fedehr_client.importers.engine.settings import ImportSettings
    from fedehr_client.importers.importer import AnyImporter
    from fedehr_client.importers.summary import ImportSummary


def _shared(
    *,
    folder: Annotated[Path, typer.Option("--out", help="The new folder.")],
    memory_limit: Annotated[
        str, typer.Option("--memory-limit", help="Of the whole program, as 300MB or 2GiB.")
    ] = "1GB",
    temp: Annotated[
        Path | None,
        typer.Option("--temp", help="Where spill files go (they hold records); beside --out."),
    ] = None,
    split_key: Annotated[
        str | None,
        typer.Option("--split-key", help="Key of the splits by subject; left out, a fixed one."),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", help="Of the source's local times, as Europe/Berlin: to UTC."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Re-import over --out; splits and labels stay.")
    ] = False,
    max_bad_share: Annotated[
        float, typer.Option("--max-bad-share", min=0, max=1, help="More bad rows are refused.")
    ] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """The shared options, as typer reads them."""


Command = Callable[..., None]


@overload
def import_command(build: "Callable[..., AnyImporter]") -> Command: ...
@overload
def import_command(
    *, preview: "Callable[[Any, ImportSettings, bool], None]"
) -> "Callable[[Callable[..., AnyImporter]], Command]": ...
def import_command(
    build: "Callable[..., AnyImporter] | None" = None,
    *,
    preview: "Callable[[Any, ImportSettings, bool], None] | None" = None,
) -> Any:
    """Make a command of a function that builds an importer from its own options."""
    if build is None:
        return functools.partial(import_command, preview=preview)
    build_importer, shared = build, _parameters(with_preview=preview is not None)

    @functools.wraps(build)
    def command(**values: Any) -> None:
        given = {name: values.pop(name) for name in shared}
        as_json, folder = given.pop("as_json"), given.pop("folder")
        asked = given.pop("preview", False)
        settings = _settings(**given)
        importer = build_importer(**values)
        if preview is not None and asked:
            preview(importer, settings, as_json)
            return
        if folder is None:
            raise UsageError("name the new folder with --out, or add --preview.")
        _import(importer, folder, settings, as_json=as_json)

    own = inspect.signature(build)
    parameters = [
        *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.parameters.values()),
        *shared.values(),
    ]
    command.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=None
    )
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _parameters(*, with_preview: bool) -> dict[str, inspect.Parameter]:
    """The shared options, by name."""
    shared = dict(inspect.signature(_shared).parameters)
    if with_preview:
        folder = shared["folder"].replace(
            default=None,
            annotation=Annotated[Path | None, typer.Option("--out", help="The new folder.")],
        )
        asked = inspect.Parameter(
            "preview",
            inspect.Parameter.KEYWORD_ONLY,
            default=False,
            annotation=Annotated[
                bool, typer.Option("--preview", help="Show what the first rows become.")
            ],
        )
        shared |= {"folder": folder, "preview": asked}
    return shared


def _import(
    importer: "AnyImporter", folder: Path, settings: "ImportSettings", *, as_json: bool
) -> None:
    summary = _run(importer, folder, settings)
    if as_json:
        print_json({"folder": str(folder), **summary.to_dict()})
        return
    from fedehr_client.cli.import_summary import print_summary

    print_summary(summary, folder)


def _settings(
    *,
    memory_limit: str,
    temp: Path | None,
    split_key: str | None,
    timezone: str | None,
    replace: bool,
    max_bad_share: float,
) -> "ImportSettings":
    from fedehr_client.importers.engine.memory import parse_bytes
    from fedehr_client.importers.engine.settings import ImportSettings

    return ImportSettings(
        memory_limit_bytes=parse_bytes(memory_limit),
        temp_folder=temp,
        split_key=split_key,
        timezone=timezone,
        replace=replace,
        max_bad_share=max_bad_share,
    )


def _run(importer: "AnyImporter", folder: Path, settings: "ImportSettings") -> "ImportSummary":
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from fedehr_client.importers.importer import run_import
    from fedehr_shared.processes import termination_interrupts

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with termination_interrupts(), Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("starting", total=None)
        return run_import(
            importer, folder, settings, lambda step: progress.update(bar, description=step)
        )
