"""`fedehr-client studies | show | approve | refuse | revoke`: what may work here, and by whom."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedehr_shared.console import err, out, print_json

if TYPE_CHECKING:
    from fedehr_client.contracts.known_study import KnownStudy
    from fedehr_client.contracts.store import ContractStore
    from fedehr_client.contracts.study_facts import StudyFacts

app = typer.Typer()

_DIGEST_SHOWN = 12
_LEAST_WIDTH, _MOST_WIDTH = 60, 110

Node = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")]
Study = Annotated[
    str, typer.Argument(metavar="STUDY", help="Its name, or the beginning of its digest.")
]
StudyOrFile = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="Its name, its digest's beginning, or a contract file."),
]
Note = Annotated[str, typer.Option(help="Kept beside the decision.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def studies(node: Node, as_json: Json = False) -> None:
    """List the studies that the coordinator proposed, and what was decided."""
    store = _store(node)
    known, unreadable = store.all(), store.unreadable()
    if as_json:
        print_json({
            "studies": [_listed(each) for each in known],
            "unreadable": [{"contract": d, "reason": why} for d, why in unreadable.items()],
        })  # fmt: skip
        return
    if known:
        out.print(_table(known))
    else:
        out.print("no study was proposed yet")
    for digest, reason in unreadable.items():
        out.print(f"{digest[:_DIGEST_SHOWN]}: {reason}", markup=False, soft_wrap=True)
    waiting = [each for each in known if _listed(each)["state"] == "waiting"]
    if waiting:
        first = waiting[0].digest[:_DIGEST_SHOWN]
        out.print(f"{len(waiting)} wait(s) for you: fedehr-client show {node} {first}",
                  markup=False, soft_wrap=True)  # fmt: skip


@app.command()
def show(node: Node, study: StudyOrFile, as_json: Json = False) -> None:
    """Say in plain words what a study would have of this site.

    What is read, what leaves, how often, how large, at what cost of
    privacy, and how that compares with the site's ceilings.
    """
    store = _store(node)
    facts = _facts(store, _found(store, study, keep=False))
    if as_json:
        print_json(_in_json(facts.to_dict()))
    else:
        _print_page(facts, node)


@app.command()
def approve(node: Node, study: StudyOrFile, note: Note = "", yes: Yes = False) -> None:
    """Let a study work here, once it has been read.

    Given a contract file, the contract is checked and kept first. What
    crosses a ceiling of the site file is refused.
    """
    from fedehr_client.contracts.approval import approve_study
    from fedehr_client.contracts.login import login_name

    store = _store(node)
    known = _found(store, study, keep=True)
    if known.state == "approved":
        store.verified(known.signed)
        _say_unchanged(known)
        return
    if not yes:
        _print_page(_facts(store, known), node)
        _confirm(f"let study '{known.study.name}' work at this site?")
    approved = approve_study(store, known.digest, by=login_name(), note=note)
    out.print(f"approved '{approved.study.name}', contract {approved.digest}", soft_wrap=True)


@app.command()
def refuse(node: Node, study: StudyOrFile, note: Note = "", yes: Yes = False) -> None:
    """Let a study not work here; the coordinator is told `policy`."""
    from fedehr_client.contracts.login import login_name

    store = _store(node)
    known = _found(store, study, keep=True)
    if known.state == "refused":
        _say_unchanged(known)
        return
    if not yes:
        _confirm(f"refuse study '{known.study.name}' ({known.digest[:_DIGEST_SHOWN]})?")
    store.refuse(known.digest, login_name(), note)
    out.print(f"refused '{known.study.name}'", soft_wrap=True)


@app.command()
def revoke(node: Node, study: Study, note: Note = "", yes: Yes = False) -> None:
    """Take an approval back; a running study's next message is refused."""
    from fedehr_client.contracts.login import login_name

    store = _store(node)
    known = _found(store, study, keep=False)
    if known.state == "revoked":
        _say_unchanged(known)
        return
    if not yes:
        _confirm(f"revoke the approval of study '{known.study.name}'?")
    store.revoke(known.digest, login_name(), note)
    out.print(f"revoked '{known.study.name}': its next message is refused", soft_wrap=True)


def _store(node: Path) -> "ContractStore":
    from fedehr_client.contracts.store import ContractStore
    from fedehr_client.node.folder import open_node

    return ContractStore(open_node(node))


def _found(store: "ContractStore", study: str, *, keep: bool) -> "KnownStudy":
    """By name, digest or file; of a file nothing is kept unless `keep`."""
    from fedehr_client.contracts.known_study import KnownStudy
    from fedehr_shared.contract.signed_contract import SignedContract
    from fedehr_shared.errors import UsageError

    file = Path(study)
    if not file.is_file():
        if "/" in study or file.suffix == ".json":
            raise UsageError(f"there is no contract file {study}. Mend the path.")
        return store.named(study)
    signed = SignedContract.load(file)
    if keep:
        return store.receive(signed)
    contract = store.verified(signed)
    return store.find(contract.digest) or KnownStudy(signed, contract, received="")


def _facts(store: "ContractStore", known: "KnownStudy") -> "StudyFacts":
    from fedehr_client.contracts.study_facts import StudyFacts

    return StudyFacts.of(known, store.node.config(), store.faults(known))


def _print_page(facts: "StudyFacts", node: Path) -> None:
    from fedehr_client.contracts.study_text import study_text, wrapped

    width = min(max(out.width, _LEAST_WIDTH), _MOST_WIDTH)
    for line in wrapped(study_text(facts, str(node)), width):
        out.print(line, markup=False, soft_wrap=True)


def _say_unchanged(known: "KnownStudy") -> None:
    out.print(f"'{known.study.name}' is {known.state} already; nothing was changed",
              markup=False, soft_wrap=True)  # fmt: skip


def _confirm(question: str) -> None:
    from fedehr_shared.errors import UsageError

    err.print(f"{question} [y/N] ", end="", markup=False)
    try:
        answer = input()
    except EOFError:
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was decided. Answer y, or give --yes.")


def _listed(known: "KnownStudy") -> dict[str, Any]:
    from datetime import UTC, datetime

    return {
        "name": known.study.name,
        "contract": known.digest,
        "state": known.shown_state(datetime.now(UTC)),
        "num_runs": {"begun": len(known.runs), "allowed": known.contract.num_runs},
        "num_rounds": {
            "answered": known.num_rounds_answered,
            "asked": sum(run.num_asked for run in known.runs),
            "of_a_run": known.num_rounds,
        },
        "deadline": known.contract.deadline,
        "received": known.received,
    }


def _table(known: list["KnownStudy"]) -> Any:
    from rich.table import Table

    table = Table()
    for heading in ("study", "contract", "state", "runs", "rounds answered", "deadline"):
        table.add_column(heading)
    for each in map(_listed, known):
        runs, rounds = each["num_runs"], each["num_rounds"]
        table.add_row(
            each["name"],
            each["contract"][:_DIGEST_SHOWN],
            each["state"],
            f"{runs['begun']} of {runs['allowed']}",
            f"{rounds['answered']} of {rounds['of_a_run'] * max(1, runs['begun'])}",
            each["deadline"][:10],
        )
    return table


def _in_json(value: Any) -> Any:
    """JSON has no infinity, and null would be read as nothing spent."""
    if isinstance(value, dict):
        return {key: _in_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_in_json(each) for each in value]
    if isinstance(value, float) and abs(value) == float("inf"):
        return "infinite" if value > 0 else "-infinite"
    return value
