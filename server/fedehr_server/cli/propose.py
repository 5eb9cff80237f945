"""`fedehr-server propose`."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared.console import err, out, print_json

app = typer.Typer()

_WORDS = {
    "waiting": "waits for a person: fedehr-client show, then approve or refuse",
    "approved": "approved",
    "refused": "refused",
    "offline": "its node is not connected",
    "no answer": "its node did not answer in time",
}


@app.command()
def propose(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The coordinator's folder.")],
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study.")],
    contract: Annotated[
        str | None,
        typer.Option(help="A contract's digest; left out, the study's newest, or a new one."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bring a study's contract to the nodes, and print what each has decided.

    No site does any work. Asking again only tells what was decided meanwhile.
    """
    from fedehr_server.network.coordinator import open_coordinator
    from fedehr_server.network.proposal import contract_named
    from fedehr_server.network.proposal import propose as propose_contract
    from fedehr_shared.config.study import StudyConfig

    coordinator = open_coordinator(folder)
    read = StudyConfig.load(study)
    chosen, _ = contract_named(coordinator, read, contract)
    with err.status("asking the nodes"):
        result = propose_contract(coordinator, read, chosen)
    if json:
        print_json(
            {"contract": chosen.digest} | {key: result.get(key) for key in ("status", "states")}
        )
    else:
        out.print(f"contract {chosen.digest}", soft_wrap=True)
        for site, state in (result.get("states") or {}).items():
            told = _WORDS.get(state, f"answered with an error, {state}")
            out.print(f"  {site}: {told}", markup=False, soft_wrap=True)
    if result["status"] != "completed":
        err.print(f"failed: {result['message']}", markup=False, soft_wrap=True)
        raise typer.Exit(int(result["exit_code"]) or 1)
