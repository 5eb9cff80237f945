"""`fedehr-client outbox`: what has left the site, what waits, and what a person says of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedehr_shared.console import out, print_json

if TYPE_CHECKING:
    from fedehr_client.node.folder import NodeFolder
    from fedehr_client.outbox.receipt import Receipt

app = typer.Typer(
    name="outbox",
    no_args_is_help=True,
    help="What has left the site, what waits, and what to do with it.",
)

Node = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")]
Name = Annotated[str, typer.Argument(metavar="ID", help="A receipt's id, or its beginning or end.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_NUM_SHOWN = 12
"""Values of a record; `--json` has all."""


@app.command("list")
def list_(
    node: Node,
    waiting: Annotated[bool, typer.Option("--held", help="Those alone that wait.")] = False,
    study: Annotated[str, typer.Option(metavar="NAME", help="Of one study.")] = "",
    num: Annotated[int, typer.Option("--last", min=1, help="How many, the newest.")] = 50,
    as_json: Json = False,
) -> None:
    """List the answers that left, wait or were stopped, the newest last.

    Error replies hold a code and a reference alone: they are counted below.
    """
    from fedehr_client.node.folder import open_node
    from fedehr_client.outbox.shelf import Shelf

    shelf = Shelf(open_node(node))
    found = [
        receipt
        for receipt in shelf.receipts.all()
        if (not waiting or receipt.verdict == "held") and study in {"", receipt.study}
    ][-num:]
    sendings = list(shelf.sendings.all())
    times: dict[str, list[str]] = {}
    for one in sendings:
        times.setdefault(one.receipt, []).append(one.time)
    errors = [one for one in sendings if one.kind == "error"]
    by_code = _by_code(errors)
    if as_json:
        brief = [{**_brief(one), "sent": times.get(one.id, [])} for one in found]
        print_json({"answers": brief, "num_errors": sum(by_code.values()), "errors": by_code})
        return
    out.print(_table(found, times) if found else "no answer yet")
    if errors:
        told = ", ".join(f"{num} {code}" for code, num in by_code.items())
        out.print(f"error replies: {told}; the newest {errors[-1].reference}", soft_wrap=True)
    if any(one.verdict == "held" for one in found):
        out.print(f"fedehr-client outbox show {node} ID, then release or refuse", soft_wrap=True)


@app.command()
def show(node: Node, name: Name, as_json: Json = False) -> None:
    """Show one answer: every number and text of it, its size, norm and digest."""
    from fedehr_client.outbox.shelf import Shelf

    shelf = Shelf(_opened(node))
    receipt = shelf.receipts.named(name)
    times = [one.time for one in shelf.sendings.all() if one.receipt == receipt.id]
    if as_json:
        print_json({**receipt.to_json(), "sent": times})
    else:
        _print(receipt, times)


@app.command()
def release(node: Node, name: Name, as_json: Json = False) -> None:
    """Let a held answer leave; it goes when the coordinator asks next."""
    from fedehr_client.outbox.decisions import Decisions

    receipt = Decisions(_opened(node)).release(name, _account())
    if as_json:
        print_json(_brief(receipt))
    else:
        out.print(f"released: {receipt.study} {receipt.work}, {receipt.num_bytes:,} bytes")


@app.command()
def refuse(node: Node, name: Name, as_json: Json = False) -> None:
    """Keep a held answer from leaving: its bytes are removed.

    The coordinator is told the code `policy`, and nothing else.
    """
    from fedehr_client.outbox.decisions import Decisions

    receipt = Decisions(_opened(node)).refuse(name, _account())
    if as_json:
        print_json(_brief(receipt))
    else:
        out.print(f"refused: {receipt.study} {receipt.work}; its bytes are gone")


def _opened(node: Path) -> "NodeFolder":
    from fedehr_client.node.folder import open_node

    return open_node(node)


def _account() -> str:
    """Who decides, as the machine knows them."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _brief(receipt: "Receipt") -> dict[str, Any]:
    return {
        "id": receipt.id,
        "time": receipt.time,
        "study": receipt.study,
        "phase": receipt.phase,
        "round": receipt.round,
        "num_bytes": receipt.num_bytes,
        "norm": receipt.norm,
        "verdict": receipt.verdict,
        "reason": receipt.reason,
        "sha256": receipt.sha256,
    }


def _by_code(errors: list[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in errors:
        found[one.code] = found.get(one.code, 0) + one.num
    return dict(sorted(found.items()))


def _table(receipts: list["Receipt"], times: dict[str, list[str]]) -> Any:
    from rich.table import Table

    from fedehr_client.outbox.receipts import NUM_SHOWN

    # No frame: eight columns stand in a line of 80; what is longer goes on below, uncut.
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("id", "time (UTC)", "study", "round", "bytes", "norm", "verdict", "sent"):
        is_number = heading in {"bytes", "norm"}
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for one in receipts:
        norm = "" if one.norm is None else f"{one.norm:.3g}"
        num_sent = len(times.get(one.id, []))
        sent = f"{num_sent}x" if num_sent else ""
        table.add_row(one.id[-NUM_SHOWN:], one.time[:16].replace("T", " "), one.study, one.work,
                      f"{one.num_bytes:,}", norm, one.verdict, sent)  # fmt: skip
    return table


def _print(receipt: "Receipt", times: list[str]) -> None:
    out.print(f"receipt {receipt.id}: {receipt.verdict}", soft_wrap=True)
    if receipt.reason:
        out.print(f"  why: {receipt.reason}", soft_wrap=True)
    if receipt.decided:
        out.print(f"  decided {receipt.decided} by {receipt.decided_by}", soft_wrap=True)
    out.print(f"  study {receipt.study}, {receipt.phase} round {receipt.round}", soft_wrap=True)
    out.print(f"  contract {receipt.contract}", soft_wrap=True)
    out.print(f"  request {receipt.request}, run {receipt.run}", soft_wrap=True)
    most = f"; the contract allows {receipt.max_bytes:,}" if receipt.max_bytes else ""
    out.print(f"  {receipt.num_bytes:,} bytes, SHA-256 {receipt.sha256}{most}", soft_wrap=True)
    out.print(f"  counts are multiples of {receipt.min_cell}")
    out.print(f"  sent: {', '.join(times) or 'not yet'}", soft_wrap=True)
    for name, record in receipt.tensors.items():
        out.print(
            f"{name}: {len(record.shapes)} tensors, {record.num_elements:,} numbers in "
            f"{record.dtype}, {record.num_bytes:,} bytes, L2 norm {record.norm:.6g}, greatest "
            f"{record.largest:.6g}",
            soft_wrap=True,
        )
    for name, values in receipt.values.items():
        out.print(f"{name}:")
        for key, value in values.items():
            out.print(f"  {key} = {_short(value)}", soft_wrap=True, markup=False)


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > _NUM_SHOWN:
        begin = ", ".join(map(str, value[:_NUM_SHOWN]))
        return f"{begin}, ... ({len(value):,} in all; --json has them)"
    return str(value)
