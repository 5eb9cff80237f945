"""`fedehr-client budget`: what the site's subjects have spent of their privacy, and its backups."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from fedehr_shared.console import out, print_json

if TYPE_CHECKING:
    import click

    from fedehr_client.ledger.ledger_file import LedgerFile
    from fedehr_client.ledger.overview import BudgetOverview, NextRound
    from fedehr_client.site import SiteConfig

_FIRST = "show"


class _ShowsByDefault(TyperGroup):
    """`budget DIR` is `budget show DIR`."""

    def parse_args(self, ctx: "click.Context", args: list[str]) -> list[str]:
        is_named = not args or args[0] in self.commands or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if is_named else [_FIRST, *args])


app = typer.Typer(
    name="budget",
    cls=_ShowsByDefault,
    no_args_is_help=True,
    help="What studies have spent of the subjects' privacy: `budget DIR` shows it.",
)

Node = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder, or its site.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def show(node: Node, as_json: Json = False) -> None:
    """Show what is spent and left, by study, and what each one's next round would cost.

    Epsilon is reckoned over all studies of the site's records together,
    at the delta of the site file; one subject added or removed.
    """
    from fedehr_client.ledger.overview import overview

    config = _config(node)
    found = overview(_ledger(config), config.ceilings.ceiling)
    if as_json:
        print_json({"site": config.site.name, **_content(found)})
    else:
        _print(config.site.name, found)


@app.command()
def backup(
    node: Node,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file to write.")],
    as_json: Json = False,
) -> None:
    """Write the ledger to a file; a running node need not be stopped."""
    from fedehr_client.ledger.backup import write_backup

    num = write_backup(_ledger(_config(node)), file)
    if as_json:
        print_json({"file": str(file), "num_entries": num})
    else:
        out.print(f"wrote {num:,} entries to {file}", soft_wrap=True)


@app.command()
def restore(
    node: Node,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup of this site's ledger.")],
    as_json: Json = False,
) -> None:
    """Add what a backup holds and the ledger does not; nothing that was spent is taken back."""
    from fedehr_client.ledger.backup import restore_backup

    num = restore_backup(_ledger(_config(node)), file)
    if as_json:
        print_json({"file": str(file), "num_added": num})
    else:
        out.print(f"added {num:,} entries that the ledger did not hold")


def _config(node: Path) -> "SiteConfig":
    from fedehr_client.node.folder import open_node
    from fedehr_client.site import SiteConfig

    return SiteConfig.load(node) if node.is_file() else open_node(node).config()


def _ledger(config: "SiteConfig") -> "LedgerFile":
    from fedehr_client.ledger.ledger_file import LedgerFile

    return LedgerFile(config.site.work, config.site.name)


def _content(found: "BudgetOverview") -> dict[str, Any]:
    from dataclasses import asdict

    ceiling = found.ceiling
    content = {
        "neighbors": "add_or_remove_one_subject",
        "subject_delta": ceiling.subject_delta,
        "subject_epsilon": {
            "ceiling": ceiling.subject_epsilon,
            "spent": found.spent,
            "left": found.left,
        },
        "naming_delta": found.naming_delta,
        "require_privacy": ceiling.require_privacy,
        "num_charges": found.num_charges,
        "last_digest": found.last_digest,
        "studies": [asdict(study) for study in found.studies],
        "unprotected": [{"name": name, "phase": phase} for name, phase in found.unprotected],
    }
    return {key: _in_json(value) for key, value in content.items()}


def _in_json(value: Any) -> Any:
    """JSON has no infinity, and null would be read as nothing spent."""
    if isinstance(value, dict):
        return {key: _in_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_in_json(each) for each in value]
    return "infinite" if value == float("inf") else value


def _print(site: str, found: "BudgetOverview") -> None:
    ceiling = found.ceiling
    most = ", no ceiling" if ceiling.subject_epsilon is None else f" of {ceiling.subject_epsilon:g}"
    left = "" if found.left is None else f", {found.left:.3f} left"
    out.print(
        f"site {site}: each subject's epsilon is {_told(found.spent)}{most}{left}, at delta "
        f"{ceiling.subject_delta:g}, one subject added or removed",
        soft_wrap=True,
    )
    if found.naming_delta:
        out.print(f"of that delta {found.naming_delta:.3g} went to naming codes in vocabularies")
    if found.studies:
        out.print(_table(found))
    for name, phase in found.unprotected:
        out.print(f"not covered by epsilon: {phase} of '{name}' added no noise here")
    out.print(f"{found.num_charges:,} rounds charged; newest line {found.last_digest[:16]}")


def _table(found: "BudgetOverview") -> Any:
    from rich.table import Table

    table = Table(title="by study; what each costs alone does not add up")
    for heading in ("study", "state", "phase", "rounds charged", "epsilon alone", "next round"):
        table.add_column(heading, justify="right" if "epsilon" in heading else "left")
    for study in found.studies:
        state = "open" if study.is_open else "over"
        first = (study.name, state, "", "", _told(study.subject_epsilon), _next(study.next))
        table.add_row(*first)
        for phase in study.phases:
            table.add_row("", "", phase.phase, _rounds(phase.num_charged),
                          _told(phase.subject_epsilon), "")  # fmt: skip
    return table


def _rounds(num_charged: dict[int, int]) -> str:
    extra = sum(num_charged.values()) - len(num_charged)
    again = f", {extra} charged again" if extra else ""
    return f"{len(num_charged)} up to {max(num_charged)}{again}"


def _next(due: "NextRound | None") -> str:
    if due is None:
        return ""
    refused = "" if due.is_within else " (refused)"
    return (
        f"{due.phase} {due.round}: all at {_told(due.subject_epsilon)}{refused}, "
        f"{_told(due.subject_epsilon_at_end)} at its end"
    )


def _told(epsilon: float) -> str:
    return "infinite" if epsilon == float("inf") else f"{epsilon:.3f}"
