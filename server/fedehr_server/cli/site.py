"""`fedehr-server site add | list | remove`."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared.console import out, print_json

app = typer.Typer(help="The hospitals' nodes that may connect.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The coordinator's folder.")]
SiteName = Annotated[str, typer.Argument(metavar="NAME", help="The site's name.")]


@app.command("add")
def add(
    folder: Folder,
    name: SiteName,
    public_key: Annotated[
        Path, typer.Argument(metavar="KEY.pub", help="The hospital's public key.")
    ],
) -> None:
    """Let the holder of a key connect."""
    from fedehr_server.network.coordinator import open_coordinator
    from fedehr_server.network.sites import SiteRegister

    site = SiteRegister(open_coordinator(folder)).add(name, public_key)
    out.print(f"site {site.name} may connect; its key is {site.fingerprint}", soft_wrap=True)
    out.print("compare this fingerprint with the hospital's, by another channel")


@app.command("list")
def list_sites(
    folder: Folder,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the registered sites and whether they are online."""
    from dataclasses import asdict

    from fedehr_server.network.coordinator import open_coordinator
    from fedehr_server.network.sites import SiteRegister

    sites = SiteRegister(open_coordinator(folder)).sites()
    if json:
        print_json([asdict(site) for site in sites])
        return
    for site in sites:
        out.print(f"{site.name}  {site.state}  {site.fingerprint}", soft_wrap=True)
    if not sites:
        out.print(f"no site yet: fedehr-server site add {folder} NAME KEY.pub", soft_wrap=True)


@app.command("remove")
def remove(folder: Folder, name: SiteName) -> None:
    """Take a site's permission to connect away."""
    from fedehr_server.network.coordinator import open_coordinator
    from fedehr_server.network.sites import SiteRegister

    SiteRegister(open_coordinator(folder)).remove(name)
    out.print(f"site {name} may no longer connect")
