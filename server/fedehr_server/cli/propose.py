"""`fedehr-server propose`."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared.console import err, out, print_json

app = typer.Typer()


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
    from fedehr_server.network.display import ProgressDisplay, describe_decision
    from fedehr_server.network.proposal import SECONDS, contract_named, submit_proposal
    from fedehr_server.network.readiness import require_ready
    from fedehr_server.network.submission import watch
    from fedehr_shared.config.study import StudyConfig

    coordinator = open_coordinator(folder)
    read = StudyConfig.load(study)
    require_ready(coordinator, read, contract=contract)
    err.print("reckoning what the study asks for ...")
    chosen, is_new = contract_named(coordinator, read, contract)
    told = "signed a new contract" if is_new else "contract"
    err.print(f"{told}: {chosen.digest}", soft_wrap=True)
    err.print("handing it to the SuperLink ...")
    submission = submit_proposal(coordinator, read, chosen)
    err.print(f"asking the nodes of {submission.num_sites} site(s) ...")
    result = watch(coordinator, submission, SECONDS, ProgressDisplay(err).show)
    if json:
        print_json(
            {"contract": chosen.digest} | {key: result.get(key) for key in ("status", "states")}
        )
    else:
        out.print(f"contract {chosen.digest}", soft_wrap=True)
        for site, state in (result.get("states") or {}).items():
            out.print(f"  {site}: {describe_decision(state)}", markup=False, soft_wrap=True)
    if result["status"] != "completed":
        err.print(f"failed: {result['message']}", markup=False, soft_wrap=True)
        raise typer.Exit(int(result["exit_code"]) or 1)
