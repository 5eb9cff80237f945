"""What earlier runs left: audit, ledger, contracts, and processes without a supervisor."""

import json
from collections.abc import Iterator

from fedehr_client.audit.log import Audit
from fedehr_client.doctor.finding import Finding, fail, ok, warn
from fedehr_client.ledger.ledger import Ledger
from fedehr_client.node.folder import NodeFolder
from fedehr_client.site import SiteConfig
from fedehr_client.supervision.node_state import read_state
from fedehr_shared.errors import FedehrError
from fedehr_shared.processes import ProcessFamily


def check_audit(node: NodeFolder) -> Finding:
    """Whether the chain of the audit file holds."""
    file = node.audit_file
    try:
        state = Audit(file).verify()
    except FedehrError as error:
        mend = f"fedehr-client audit verify {node.path}   (then compare with a backup)"
        return fail("audit", str(error), mend)
    if not state.num_lines:
        return ok("audit", "the audit has no line yet.", num_lines=0)
    torn = f", {state.num_torn} cut short by a crash" if state.num_torn else ""
    return ok("audit", f"the chain of {state.num_lines} lines holds{torn}.", num=state.num_lines)


def check_ledger(config: SiteConfig, node: NodeFolder) -> Finding:
    """Whether the account of privacy can be read, and what is left of it."""
    ceiling = config.ceilings.ceiling
    try:
        spent = Ledger(config.site.work, ceiling, config.site.name).spent()
    except FedehrError as error:
        mend = f"fedehr-client budget {node.path}   (says more; restore work/privacy from a backup)"
        return fail("ledger", str(error), mend)
    most = ceiling.subject_epsilon
    told = "no ceiling is set" if most is None else f"the ceiling is {most:g}"
    text = f"epsilon {spent:.3g} of each subject's privacy is spent; {told}."
    if most is not None and spent >= most:
        mend = "raise [ceilings] subject_epsilon only after the hospital has agreed to it"
        return warn("ledger", text, mend, spent_epsilon=spent)
    return ok("ledger", text, spent_epsilon=spent)


def check_contracts(node: NodeFolder) -> Finding:
    """Whether every contract can be read, and how many wait for a person."""
    from fedehr_client.contracts.store import ContractStore

    store = ContractStore(node)
    states = [known.state for known in store.all()]
    if damaged := store.unreadable():
        return warn(
            "contracts",
            f"{len(damaged)} contract(s) cannot be read: {next(iter(damaged.values()))}",
            f"fedehr-client studies {node.path}",
            num_unreadable=len(damaged),
        )
    waiting = states.count("waiting")
    approved = states.count("approved")
    text = f"{approved} contract(s) approved, {waiting} waiting for a decision."
    if waiting:
        mend = f"fedehr-client studies {node.path}"
        return warn("contracts", text, mend, num_approved=approved, num_waiting=waiting)
    return ok("contracts", text, num_approved=approved, num_waiting=0)


def check_processes(node: NodeFolder, *, is_running: bool) -> Iterator[Finding]:
    """Whether the node runs; and where it does not, what an earlier run left behind."""
    if is_running:
        yield _check_state(node)
        return
    left = sorted({pid for family in _families(node) for pid in family.members()})
    if left:
        text = f"{len(left)} process(es) of an earlier run are left: {left}."
        mend = f"fedehr-client stop {node.path}"
        yield fail("processes", text, mend, running=False, num_left=len(left))
    else:
        yield ok("processes", "the node is not running, and nothing is left of it.", running=False)


def _check_state(node: NodeFolder) -> Finding:
    found = read_state(node.state)
    state, reason = str(found.get("state") or "starting"), str(found.get("reason") or "")
    text = f"the node is running: {state}{': ' if reason else ''}{reason}"
    if found.get("needs_a_person"):
        mend = f"fedehr-client status {node.path}   (it tries again by itself)"
        return warn("processes", text, mend, running=True, state=state)
    return ok("processes", text if reason else f"{text}.", running=True, state=state)


def _families(node: NodeFolder) -> Iterator[ProcessFamily]:
    for file in sorted(node.state.glob("*.json")):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # no record of processes
        if isinstance(record, dict) and {"pid", "mark", "facts"} <= record.keys():
            yield ProcessFamily(file)
