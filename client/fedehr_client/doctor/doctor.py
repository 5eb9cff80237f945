"""`examine`: every check of a node, in the order in which a person would mend what it finds."""

from collections.abc import Callable, Iterable, Iterator

from fedehr_client.doctor.certificate_check import check_certificates
from fedehr_client.doctor.finding import Finding, fail, ok
from fedehr_client.doctor.folder_check import check_folder, check_keys
from fedehr_client.doctor.gpu_check import check_gpu
from fedehr_client.doctor.history_check import (
    check_audit,
    check_contracts,
    check_ledger,
    check_processes,
)
from fedehr_client.doctor.line_check import check_line
from fedehr_client.doctor.machine_check import (
    check_disk,
    check_isolation,
    check_memory,
    check_ports,
)
from fedehr_client.doctor.processor_check import check_processors
from fedehr_client.doctor.record_check import check_records
from fedehr_client.doctor.version_check import check_versions
from fedehr_client.node.folder import NodeFolder
from fedehr_client.site import SiteConfig
from fedehr_client.supervision.run_lock import RunLock
from fedehr_shared.errors import ConfigError, FedehrError

Check = Callable[[], Finding | Iterable[Finding]]


def examine(node: NodeFolder) -> Iterator[Finding]:
    """Look at everything, one finding after the other; nothing at the node is changed."""
    running = RunLock(node.state).holder() is not None
    config: SiteConfig | None = None
    try:
        config = node.config()
    except ConfigError as error:
        yield fail("site_file", str(error), f"$EDITOR {node.site_file}")
    else:
        yield ok("site_file", f"{node.site_file} is in order.")
    for name, check in _checks(node, config, running):
        yield from _findings(name, check)


def _checks(
    node: NodeFolder, config: SiteConfig | None, running: bool
) -> Iterator[tuple[str, Check]]:
    yield "permissions", lambda: check_folder(node)
    yield "key", lambda: check_keys(node, config)
    if config is not None:
        yield from _checks_of_site(node, config, running)
    yield "versions", lambda: check_versions(node)
    yield "contracts", lambda: check_contracts(node)
    yield "audit", lambda: check_audit(node)
    yield "processes", lambda: check_processes(node, is_running=running)


def _checks_of_site(
    node: NodeFolder, config: SiteConfig, running: bool
) -> Iterator[tuple[str, Check]]:
    yield "records", lambda: check_records(config, node.path)
    yield "certificates", lambda: check_certificates(config.network)
    yield "line", lambda: check_line(config.network, node.site_file)
    yield "disk", lambda: check_disk(node, config)
    yield "memory", lambda: check_memory(config)
    yield "processors", lambda: check_processors(config)
    yield "gpu", lambda: check_gpu(config)
    yield "isolation", lambda: check_isolation(config)
    yield "port", lambda: check_ports(config, is_running=running)
    yield "ledger", lambda: check_ledger(config, node)


def _findings(name: str, check: Check) -> Iterator[Finding]:
    try:
        found = check()
        yield from [found] if isinstance(found, Finding) else found
    except (FedehrError, OSError) as error:
        # One thing that cannot be looked at hides none of the others.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        text = f"this could not be looked at: {reason or type(error).__name__}"
        yield fail(name, text, "mend that, and run the doctor again")
