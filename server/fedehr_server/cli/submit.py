"""`fedehr-server submit`."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared.console import err, out, print_json

app = typer.Typer()


@app.command()
def submit(  # noqa: PLR0917 - a command line's parameters
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The coordinator's folder.")],
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study.")],
    num_sites: Annotated[
        int | None,
        typer.Option(min=1, help="Sites to wait for; left out, all that are registered."),
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option(help="A contract's digest; left out, the study's newest, or a new one."),
    ] = None,
    run: Annotated[str | None, typer.Option(help="The run's name.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end.")] = True,
    timeout: Annotated[
        float | None, typer.Option(min=1.0, help="Stop the run after so many seconds.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run a study over the connected sites; the exit code is the run's.

    The run is under a signed contract, which each site must approve.
    """
    from fedehr_server.network.coordinator import open_coordinator
    from fedehr_server.network.display import ProgressDisplay
    from fedehr_server.network.proposal import contract_named
    from fedehr_server.network.readiness import require_ready
    from fedehr_server.network.submission import submit as submit_study
    from fedehr_server.network.submission import watch
    from fedehr_shared.config.study import StudyConfig

    coordinator = open_coordinator(folder)
    read = StudyConfig.load(study)
    require_ready(coordinator, read, contract=contract, num_sites=num_sites, run=run)
    err.print("reckoning what the study asks for ...")
    chosen, is_new = contract_named(coordinator, read, contract)
    told = "signed a new contract, which each site must approve" if is_new else "contract"
    err.print(f"{told}: {chosen.digest}", soft_wrap=True)
    err.print("handing it to the SuperLink ...")
    submission = submit_study(coordinator, read, run, num_sites, contract=chosen)
    err.print(f"run {submission.run} waits for {submission.num_sites} site(s)", soft_wrap=True)
    if not wait:
        out.print(f"next: fedehr-server status {folder}", soft_wrap=True)
        return
    try:
        result = watch(coordinator, submission, timeout, ProgressDisplay(err).show)
    except KeyboardInterrupt:
        err.print(f"the run goes on: fedehr-server status {folder}", soft_wrap=True)
        raise
    if json:
        print_json(result)
    if result["status"] == "completed":
        err.print(f"completed: {submission.folder}", markup=False, soft_wrap=True)
        return
    err.print(f"failed: {result['message']}", markup=False, soft_wrap=True)
    raise typer.Exit(int(result["exit_code"]) or 1)
