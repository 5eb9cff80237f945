"""`fedehr-client doctor DIR`: what keeps this node from working, and the line that mends it."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_shared.console import err, out, print_json

if TYPE_CHECKING:
    from fedehr_client.doctor.finding import Finding

app = typer.Typer()
_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@app.command()
def doctor(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check everything that a node needs, before it starts or while it runs.

    Each failure ends with the line that mends it. Ends with 0, or with 1 where
    something failed.
    """
    from fedehr_client.doctor.doctor import examine
    from fedehr_client.doctor.finding import Verdict
    from fedehr_client.node.folder import open_node

    node = open_node(folder)
    findings = list(examine(node) if as_json else _shown(examine(node)))
    num_failed = sum(found.verdict is Verdict.FAIL for found in findings)
    num_warned = sum(found.verdict is Verdict.WARN for found in findings)
    if as_json:
        checks = [found.to_dict() for found in findings]
        print_json({"folder": str(node.path), "ready": not num_failed, "checks": checks})
    elif num_failed:
        out.print(f"\n{num_failed} thing(s) to mend, {num_warned} worth a look")
    else:
        out.print(f"\nready: nothing to mend, {num_warned} thing(s) worth a look")
    if num_failed:
        raise typer.Exit(1)


def _shown(findings: "Iterable[Finding]") -> "Iterable[Finding]":
    """Each as soon as it is known: names and ports that do not answer take seconds."""
    from rich.text import Text

    with err.status("looking ..."):
        for found in findings:
            line = Text(f"{found.verdict.value:<5}", style=_COLORS[found.verdict.value])
            line.append(f" {found.name:<20} {found.text}", style="default")
            out.print(line, soft_wrap=True)
            if found.mend:
                out.print(Text(f"      mend: {found.mend}", style="bold"), soft_wrap=True)
            yield found
