"""The site file that `fedehr-client init` writes: every section, every key, explained.

A setting that is not in force stands in a line that begins with `#` and no space. Where a
setting has a default, such a line shows it; where it has none, an example.
"""

import json
from pathlib import Path

_TEXT = """\
# What this hospital says about itself. No study ever changes it.
# A line that begins with '#' and no space is a setting that is not in force: it shows the
# default, or an example where it says so. Remove the '#' to set it.
# Relative paths start at this file's folder. After a change: fedehr-client doctor {node}

[site]
# The name by which the coordinator registers this site.
name = {name}
# The site's MEDS folder (data/, metadata/, labels/), which `fedehr-client import` writes.
records = {records}
# A private folder for caches, and for privacy/, the account of epsilon spent; keep that.
work = "work"

[ceilings]
# No number that rests on fewer subjects leaves this site; a study that asks for less is refused.
min_cell = 11
# No study may end a round with the answers of fewer sites than this.
min_sites = 2
# Epsilon that all studies together may spend of a subject's privacy (example; else: no ceiling).
#subject_epsilon = 8.0
# The delta of that epsilon: well below 1 / (number of subjects).
#subject_delta = 1e-5
# Refuse studies that train without noise of this site's own; needs subject_epsilon.
#require_privacy = false
# Names of the studies that may be approved (example; else: any that a person approves).
#studies = ["sepsis-2027"]
# Tasks whose labels a study may use (example; else: any).
#tasks = ["in_hospital_death"]
# Bytes of answers to all studies together in any 24 hours (example; else: no ceiling).
#max_bytes_per_day = 2_000_000_000
# Training subjects that must be here before the site takes part in any study (example).
#min_subjects = 1_000

[outbox]
# Each answer waits until a person says `fedehr-client outbox release`.
hold = false
# Days for which the receipts of what left are kept.
#receipt_days = 3650

[schedule]
# Local hours in which the node works for studies, as ["22:00-06:00"]; none: always.
#allowed_hours = []
# Stop work, and take none, while another program uses the GPU.
#yield_gpu = false

[compute]
# What to compute with: auto, cpu or cuda. auto takes what `fedehr-client check` shows.
device = "auto"
# Torch threads (example; else: torch decides).
#num_threads = 4
# Of the matrix products: auto, fp32, bf16 or fp16; weights stay in fp32.
#precision = "auto"
# How attention is computed: auto, varlen or flex (on a GPU), sdpa, padded.
#attention = "auto"
# Compiled layers, on a GPU with triton: auto, on or off.
#compile = "auto"
# Less memory, a third slower: auto, on or off.
#checkpointing = "auto"
# Most tokens in memory at once, or auto; a larger batch is added up from pieces.
#token_budget = "auto"
# On a GPU, the same bits each time, though slower.
#deterministic = false

[limits]
# Bytes of memory for one process that computes (example; else: nine tenths of the machine).
#max_memory_bytes = 32_000_000_000
# Processors that such a process may run on (example; else: all).
#num_cpus = 8
# Studies whose process stays, with its model, between rounds.
#num_warm_studies = 2
# Compute only where the system lets a process give up the network altogether.
#require_isolation = true

[monitoring]
# Port of /healthz, /readyz and /metrics on 127.0.0.1; 0: a free one, which `status` shows.
#http_port = 0
# Port of the gRPC health service on 127.0.0.1; 0: a free one, which `status` shows.
#grpc_port = 0

[network]
# The coordinator, host:port: the one connection that this node opens.
coordinator = {coordinator}
# Whose certificates this node trusts: the coordinator's authority, or that of a web proxy
# which opens TLS; then put the proxy's in a file of its own and name it here.
root_certificates = "ca.crt"
# Whose signer may sign contracts: always the coordinator's authority.
contract_authority = "ca.crt"
# This site's private key; it never leaves this folder.
private_key = "node.key"
"""


def site_file_text(node: Path, name: str, records: Path, coordinator: str) -> str:
    """The text of a new `site.toml`.

    Args:
        node: the node's folder, for the commands in the comments.
        name: the site's name.
        records: where the records lie or will lie; relative to the folder, or absolute.
        coordinator: `host:port`.
    """
    return _TEXT.format(
        node=node,
        name=json.dumps(name),
        records=json.dumps(str(records)),
        coordinator=json.dumps(coordinator),
    )
