"""`fedehr-client start | status | stop`."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared.console import err, out, print_json

app = typer.Typer()

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")]


@app.command()
def start(
    folder: Folder,
    detach: Annotated[bool, typer.Option("--detach", help="Return once it has joined.")] = False,
) -> None:
    """Join the federation and answer its work."""
    from fedehr_client.node.folder import open_node
    from fedehr_client.node.supernode import SuperNode
    from fedehr_shared.errors import NetworkError
    from fedehr_shared.processes import follow, termination_interrupts

    node = open_node(folder)
    supernode = SuperNode(node)
    with termination_interrupts():
        err.print("joining the federation ...")
        process = supernode.start(lambda text: err.print(text, soft_wrap=True))
        out.print(
            f"joined {node.config().network.coordinator}, log {node.log_file}", soft_wrap=True
        )
        if detach:
            return
        try:
            status = follow(process, node.log_file)
        except KeyboardInterrupt:
            err.print("stopping ...")
            supernode.stop()
            out.print("stopped")
            return
    supernode.stop()
    raise NetworkError(f"the node ended by itself (status {status}). Read {node.log_file}.")


@app.command()
def status(
    folder: Folder,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether the node runs, and where its records and its coordinator are."""
    from fedehr_client.node.folder import open_node
    from fedehr_client.node.supernode import SuperNode

    node = open_node(folder)
    config = node.config()
    found = {
        "name": config.site.name,
        "running": SuperNode(node).is_running(),
        "coordinator": config.network.coordinator,
        "records": str(config.site.records),
        "log": str(node.log_file),
    }
    if json:
        print_json(found)
        return
    state = "runs" if found["running"] else "is not running"
    out.print(f"site {config.site.name} {state}")
    out.print(f"coordinator {config.network.coordinator}", soft_wrap=True)
    out.print(f"records {config.site.records}", soft_wrap=True)


@app.command()
def stop(folder: Folder) -> None:
    """Stop the node and every process it started, at once."""
    from fedehr_client.node.folder import open_node
    from fedehr_client.node.supernode import SuperNode

    num_processes = SuperNode(open_node(folder)).stop()
    if num_processes:
        out.print(f"stopped: {num_processes} process(es) ended, none left")
    else:
        out.print("nothing was running")
