"""`fedehr-client init`: the first of the three commands that join a federation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_shared.console import err, out, print_json

if TYPE_CHECKING:
    from fedehr_client.node.folder import NodeFolder

app = typer.Typer()


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's new folder.")] = Path(
        "fedehr-node"
    ),
    *,
    coordinator: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="From the coordinator; port 443 if left out.")
    ],
    name: Annotated[
        str | None, typer.Option(help="The site's name; asked for, or this machine's.")
    ] = None,
    records: Annotated[
        Path | None, typer.Option(help="Imported records; left out, DIR/records, for later.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="CA.crt", help="From the coordinator; or for later.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a node's folder: a commented site file and a key pair."""
    from fedehr_client.node.coordinator_address import coordinator_address
    from fedehr_client.node.folder import create_node

    address = coordinator_address(coordinator)
    made = create_node(folder, name or _site_name(as_json), records, address, ca)
    if as_json:
        print_json(_facts(made))
    else:
        _tell(made, folder)


def _site_name(as_json: bool) -> str:
    from fedehr_client.node.site_name import suggested_site_name

    suggested = suggested_site_name()
    if as_json or not err.is_terminal:
        return suggested
    return str(typer.prompt("name of this site", default=suggested, err=True))


def _facts(made: "NodeFolder") -> dict[str, str | bool]:
    from fedehr_client.node.keys import fingerprint

    config = made.config()
    return {
        "folder": str(made.path),
        "name": config.site.name,
        "coordinator": config.network.coordinator,
        "public_key": made.public_key.read_text(encoding="utf-8").strip(),
        "public_key_file": str(made.public_key),
        "fingerprint": fingerprint(made.public_key),
        "has_certificate_authority": made.authority_file.is_file(),
        "has_records": (config.site.records / "data").is_dir(),
    }


def _tell(made: "NodeFolder", folder: Path) -> None:
    from fedehr_client.node.certificate_file import certificate_fingerprint

    facts = _facts(made)
    host, _, port = str(facts["coordinator"]).rpartition(":")
    lines = [
        f"made {made.site_file}; look through it",
        "",
        f"give the coordinator this public key ({made.public_key}):",
        f"  {facts['public_key']}",
        "  and read out by telephone:",
        f"  {facts['fingerprint']}",
        "",
        f"the one connection that the firewall must let out: TCP to {host}, port {port}",
        "  no port is opened here, and nothing listens beyond 127.0.0.1",
        "",
    ]
    if facts["has_certificate_authority"]:
        lines.append("ask the coordinator whether its certificate authority is (SHA-256):")
        lines.append(f"  {certificate_fingerprint(made.authority_file)}")
    else:
        lines.append(f"before the start, put the coordinator's ca.crt at {made.authority_file}")
    lines.append("")
    if not facts["has_records"]:
        lines.append(f"next: fedehr-client import omop SOURCE --out {folder / 'records'}")
        lines.append("      (or csv, mimic4, eicu, meds: fedehr-client import --help)")
        lines.append(f"then: fedehr-client doctor {folder}")
    else:
        lines.append(f"next: fedehr-client doctor {folder}")
    lines.append(f"and, once it has added your site: fedehr-client start {folder}")
    for line in lines:
        # A fingerprint holds what rich takes for emoji, as ":AB:".
        out.print(line, soft_wrap=True, markup=False, emoji=False)
