"""`fedehr-server init | start | status | stop`."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared.console import err, out, print_json

app = typer.Typer()

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The coordinator's folder.")]


@app.command()
def init(
    folder: Folder,
    host: Annotated[str, typer.Option(help="Name or address by which hospitals reach you.")],
    port: Annotated[
        int, typer.Option(min=1, max=65_535, metavar="PORT", help="Of the SuperLink, here alone.")
    ] = 8443,
    proxy_port: Annotated[
        int, typer.Option(min=1, max=65_535, metavar="PORT", help="Of nginx, for the hospitals.")
    ] = 443,
) -> None:
    """Make a coordinator's folder: certificates, proxy configuration, settings."""
    from fedehr_server.network.coordinator import CoordinatorNetworkConfig, create_coordinator
    from fedehr_server.network.nginx import nginx_command
    from fedehr_shared.config.section import parse

    network = parse(
        {"host": host, "port": port, "proxy_port": proxy_port},
        CoordinatorNetworkConfig,
        "the command line",
    )
    made = create_coordinator(folder, network)
    out.print(f"made {made.path}", soft_wrap=True)
    out.print("give each hospital:", soft_wrap=True)
    out.print(f"  the certificate  {made.pki / 'ca.crt'}", soft_wrap=True)
    out.print(f"  the address      {host}:{proxy_port}", soft_wrap=True)
    out.print(
        "run the proxy, the only part that is reachable from outside (it stays in the foreground; "
        "give it a terminal or a service of its own):",
        soft_wrap=True,
    )
    out.print(f"  {' '.join(nginx_command(made.path))}", soft_wrap=True)
    out.print(f"next: fedehr-server start {folder} --detach", soft_wrap=True)


@app.command()
def start(
    folder: Folder,
    detach: Annotated[bool, typer.Option("--detach", help="Return once it serves.")] = False,
) -> None:
    """Start the SuperLink, which the hospitals' nodes connect to."""
    from fedehr_server.network.coordinator import open_coordinator
    from fedehr_server.network.superlink import SuperLink
    from fedehr_shared.errors import NetworkError
    from fedehr_shared.processes import follow, termination_interrupts

    coordinator = open_coordinator(folder)
    superlink = SuperLink(coordinator)
    with termination_interrupts():
        err.print("starting the SuperLink ...")
        process = superlink.start()
        port = coordinator.config().network.port
        out.print(
            f"the SuperLink serves on 127.0.0.1:{port}, log {coordinator.superlink_log}",
            soft_wrap=True,
        )
        if detach:
            return
        try:
            status = follow(process, coordinator.superlink_log)
        except KeyboardInterrupt:
            err.print("stopping ...")
            superlink.stop()
            out.print("stopped")
            return
    superlink.stop()
    raise NetworkError(
        f"the SuperLink ended by itself (status {status}). Read {coordinator.superlink_log}."
    )


@app.command()
def status(
    folder: Folder,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether the SuperLink is up, which sites are online and how the runs stand."""
    from fedehr_server.network.coordinator import open_coordinator
    from fedehr_server.network.status import coordinator_status

    found = coordinator_status(open_coordinator(folder))
    if json:
        print_json(found)
        return
    superlink = found["superlink"]
    state = "serves" if superlink["serving"] else "is not running"
    out.print(
        f"SuperLink {state} (127.0.0.1:{superlink['port']}), "
        f"certificate good for {superlink['certificate_days_left']} days"
    )
    out.print(f"{len(found['sites'])} site(s)")
    for site in found["sites"]:
        out.print(f"  {site['name']}: {site['state']}")
    out.print(f"{len(found['runs'])} run(s)")
    for run in found["runs"]:
        where = f", {run['phase']} {run['round']}/{run['num_rounds']}" if run["phase"] else ""
        out.print(f"  {run['run']}: {run['state']}{where}", soft_wrap=True)


@app.command()
def stop(folder: Folder) -> None:
    """Stop the SuperLink and every process it started."""
    from fedehr_server.network.coordinator import open_coordinator
    from fedehr_server.network.superlink import SuperLink

    num_processes = SuperLink(open_coordinator(folder)).stop()
    if num_processes:
        out.print(f"stopped: {num_processes} process(es) ended, none left")
    else:
        out.print("nothing was running")
