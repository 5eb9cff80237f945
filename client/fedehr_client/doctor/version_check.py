"""Versions: of what is installed, and of what the approved contracts were signed for."""

import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from fedehr_client.doctor.finding import Finding, fail, ok, warn
from fedehr_client.node.folder import NodeFolder
from fedehr_shared.errors import FedehrError

PACKAGES = ("fedehr", "flwr", "torch", "opacus")
_SIGNED = ("fedehr", "flwr")


def check_versions(node: NodeFolder) -> Iterator[Finding]:
    """What is installed, the engine's internals, and each contract that may still work."""
    installed = installed_versions()
    missing = [name for name, found in installed.items() if found is None]
    told = ", ".join(f"{name} {found}" for name, found in installed.items() if found)
    if missing:
        text = f"{', '.join(missing)} is not installed ({told} is)."
        yield fail("versions", text, "pip install fedehr", **installed)
        return
    yield ok("versions", f"{told}.", **installed)
    yield _check_engine()
    yield from _check_contracts(node, installed)


def installed_versions() -> dict[str, str | None]:
    """By package; None where it is missing."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _check_engine() -> Finding:
    from fedehr_client.engine.version import ENGINE_VERSION, require_engine

    try:
        require_engine()
    except FedehrError as error:
        return fail("engine", str(error), f"pip install --force-reinstall flwr=={ENGINE_VERSION}")
    return ok("engine", f"flwr {ENGINE_VERSION} is the engine that this fedehr was made for.")


def _check_contracts(node: NodeFolder, installed: dict[str, str | None]) -> Iterator[Finding]:
    """Of files as they lie there: a contract for another version cannot be read in any other
    way, and it is the one that matters."""
    others = sorted(
        {
            (name, theirs)
            for contract in _contracts(node)
            for name in _SIGNED
            if (theirs := contract.get(f"{name}_version")) and theirs != installed[name]
        }
    )
    for name, theirs in others:
        yield warn(
            "contract_version",
            f"a contract here is for {name} {theirs}, and {installed[name]} is installed: this "
            "site would refuse its work.",
            f"pip install {name}=={theirs}   (or ask the coordinator to update and sign anew)",
            theirs=str(theirs),
        )


def _contracts(node: NodeFolder) -> Iterator[dict[str, object]]:
    for file in sorted(node.contracts.glob("*.json")):
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
            last = known["decisions"][-1]["state"] if known["decisions"] else "waiting"
            contract = json.loads(known["signed"]["text"])
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            continue  # the contracts' own check names it
        if last in {"waiting", "approved"} and isinstance(contract, dict):
            yield contract
