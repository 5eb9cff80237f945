"""The machine: disk, memory, ports, and what the computing process is kept from."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from fedehr_client.doctor.finding import Finding, fail, ok, warn
from fedehr_client.node.folder import NodeFolder
from fedehr_client.site import SiteConfig
from fedehr_shared.errors import NetworkError
from fedehr_shared.ports import require_free_port

TOKEN_BYTES = 20
"""Of a token in a site's store: its number, two times and the visit."""
NUM_STORES = 2
"""One for each vocabulary: a study's, and the next one's."""
FIXED_BYTES = 1_000_000_000
"""Answers that are kept until they are acknowledged, receipts, logs."""
LEAST_MEMORY_BYTES = 2_000_000_000
_ASK_SECONDS = 30.0

_ISOLATE = (
    "import json, pathlib, sys; from fedehr_client.child.isolation import isolate; "
    "from fedehr_client.child.confinement import confine; "
    "found = isolate(); disk = confine(pathlib.Path(sys.argv[1])); "
    "print(json.dumps([found.protections, found.faults, bool(disk.folders), disk.fault]))"
)


def check_disk(node: NodeFolder, config: SiteConfig) -> Finding:
    """Free bytes where the node writes, against what its caches will take."""
    place = config.site.work if config.site.work.is_dir() else node.path
    free = shutil.disk_usage(place).free
    need = needed_bytes(config)
    text = f"{_gigabytes(free)} free at {place}, and about {_gigabytes(need)} needed."
    figures = {"free_bytes": free, "needed_bytes": need}
    if free < need:
        mend = f"free {_gigabytes(need - free)} there, or name another [site] work in site.toml"
        return fail("disk", text, mend, **figures)
    return ok("disk", text, **figures)


def needed_bytes(config: SiteConfig) -> int:
    """What a node's files come to at the most, its records aside."""
    return FIXED_BYTES + NUM_STORES * TOKEN_BYTES * _num_events(config.site.records)


def check_memory(config: SiteConfig) -> Finding:
    """What the machine has and has free, against the site's own limit."""
    import psutil

    from fedehr_client.child.memory import memory_limit

    memory = psutil.virtual_memory()
    limit = memory_limit(config.limits)
    figures = {"total_bytes": memory.total, "free_bytes": memory.available, "limit_bytes": limit}
    text = (
        f"{_gigabytes(memory.available)} of {_gigabytes(memory.total)} free; a study may take "
        f"{_gigabytes(limit)}."
    )
    if limit > memory.total:
        mend = f"set [limits] max_memory_bytes below {memory.total} in site.toml"
        return fail("memory", text, mend, **figures)
    if memory.available < min(limit, LEAST_MEMORY_BYTES):
        return warn("memory", text, "end other programs, or give the machine more", **figures)
    return ok("memory", text, **figures)


def check_ports(config: SiteConfig, *, is_running: bool) -> Iterator[Finding]:
    """The ports on the loopback interface that the site file fixes."""
    fixed = {
        "http_port": config.monitoring.http_port,
        "grpc_port": config.monitoring.grpc_port,
    }
    asked = {key: port for key, port in fixed.items() if port}
    for key, port in asked.items():
        if is_running:
            yield ok("port", f"{port} of [monitoring] {key} is the running node's.", port=port)
            continue
        mend = f"set another [monitoring] {key} in site.toml, or 0 for a free one"
        try:
            require_free_port(port, mend)
        except NetworkError as error:
            yield fail("port", str(error).partition(" Set ")[0].split(". set")[0], mend, port=port)
        else:
            yield ok("port", f"{port} of [monitoring] {key} is free on 127.0.0.1.", port=port)
    if not asked:
        yield ok("port", "nothing listens beyond 127.0.0.1; the ports there are free ones.")


def check_isolation(config: SiteConfig) -> Finding:
    """Tried in a process of its own: what would keep a study's process from network and disk."""
    work = config.site.work if config.site.work.is_dir() else Path("/")
    try:
        done = subprocess.run(
            [sys.executable, "-c", _ISOLATE, str(work)],
            capture_output=True, text=True, timeout=_ASK_SECONDS, check=True,
        )  # fmt: skip
        protections, faults, is_confined, fault = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        protections, faults, is_confined, fault = [], [type(error).__name__], False, ""
    figures = {"num_protections": len(protections), "is_confined": is_confined}
    if protections:
        text = f"a study's process is kept from the network by {' and '.join(protections)}, and "
        if is_confined:
            but = f", but {fault}" if fault else ""
            return ok("isolation", f"{text}writes in the work folder alone{but}.", **figures)
        text += f"can write wherever this account can: {fault}."
        mend = "run Linux 5.19 or later with landlock in its boot option lsm="
        return warn("isolation", text, mend, **figures)
    text = f"nothing here keeps a study's process from the network ({'; '.join(faults)})."
    mend = "sysctl -w kernel.unprivileged_userns_clone=1   (or allow seccomp in the container)"
    verdict = fail if config.limits.require_isolation else warn
    return verdict("isolation", text, mend, **figures)


def _num_events(records: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    total = 0
    for file in (records / "data").glob("**/*.parquet"):
        try:
            total += pq.read_metadata(file).num_rows
        except (OSError, pa.ArrowException):
            continue  # the records' own check says so
    return total


def _gigabytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:,.1f} GB"
