"""`rehearse`: a small study over a site's own records, by real programs, with nobody else.

A coordinator and a node are made in a private folder, run a study over TLS with keys, a signed
contract and an outbox, and are thrown away: no key, epsilon, receipt or audit line of the site
is touched. Whatever ends this process ends them; a folder that a killed one left is removed by
the next.
"""

import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fedehr_client.doctor.machine_check import needed_bytes
from fedehr_client.node.folder import NodeFolder
from fedehr_client.outbox.shelf import Shelf
from fedehr_client.scratch import scratch_folder
from fedehr_client.site import SiteConfig
from fedehr_client.supervision.running_node import RunningNode
from fedehr_client.trial.memory_watch import MemoryWatch
from fedehr_client.trial.phase_figures import figures_by_phase
from fedehr_client.trial.program import Program, ask, ask_openly
from fedehr_client.trial.toml_text import toml_text
from fedehr_client.trial.trial_node import SET_ASIDE, create_trial_node
from fedehr_client.trial.trial_report import ReceiptLine, TrialReport
from fedehr_client.trial.trial_study import default_recipe, for_one_site
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, StorageError
from fedehr_shared.ports import LOOPBACK, free_port

SERVER = "fedehr-server"
CLIENT = "fedehr-client"
START_SECONDS = 180.0

_MOST_REASONS = 8
_USUAL = " INFO "

ReportStep = Callable[[str], None]


def rehearse(
    config: SiteConfig, study: StudyConfig | None, num_rounds: int, report_step: ReportStep
) -> TrialReport:
    """Run it, and say what it showed.

    Args:
        config: the real site file.
        study: of which a few rounds are run; None: the default recipe.
        num_rounds: of each phase that trains, at the most.
        report_step: told what happens.

    Raises:
        ConfigError: the study cannot be cut down.
        DataError: there are no records, or no folder can be made.
        StorageError: there is too little room.
        NetworkError: a program ended, with what it said.
        DeadlineError: a program was not ready in time.
        PolicyError: the study crosses a ceiling of the site file.
    """
    if not (config.site.records / "data").is_dir():
        raise DataError(
            f"there are no records at {config.site.records}. Import them first "
            "(fedehr-client import --help)."
        )
    whole = study or default_recipe(config)
    small = for_one_site(whole, num_rounds)
    with scratch_folder(config.site.work) as folder, ExitStack() as ends:
        _require_room(folder, needed_bytes(config))
        report_step("starting a coordinator of its own")
        address = ends.enter_context(_coordinator(folder))
        report_step("starting a node of its own")
        node = create_trial_node(
            folder / "node",
            config,
            address,
            folder / "coordinator" / "pki" / "ca.crt",
            keeps_studies=study is not None,
        )
        program = ends.enter_context(_joined(folder, node))
        report_step("signing and approving the contract")
        _approve(folder, node, small)
        report_step("running the study")
        with MemoryWatch(program.process.pid) as memory:
            began = time.monotonic()
            result = ask_openly(
                SERVER, "submit", str(folder / "coordinator"), str(folder / "study.toml"),
                "--run", "rehearsal", "--json",
            )  # fmt: skip
            seconds = time.monotonic() - began
        set_aside = dict(SET_ASIDE)
        if study is not None:
            set_aside.pop("ceilings.studies")
        return TrialReport(
            study=whole,
            status=str(result["status"]),
            message=str(result.get("message") or ""),
            exit_code=int(result["exit_code"]),
            seconds=seconds,
            phases=figures_by_phase(node),
            peak_bytes=dict(memory.peak_bytes),
            peak_total_bytes=memory.peak_total_bytes,
            receipts=_receipts(node),
            errors=_errors(node),
            reasons=() if result["status"] == "completed" else _reasons(node),
            set_aside=set_aside,
        )


def _require_room(folder: Path, num_bytes: int) -> None:
    """Without it a round waits for somebody to make room, until its deadline."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise StorageError(
            f"a study takes about {num_bytes / 1e9:.1f} GB below {folder.parent}, and its disk has "
            f"{free / 1e9:.1f} GB free. Free {(num_bytes - free) / 1e9:.1f} GB there, or name "
            "another [site] work in site.toml."
        )


@contextmanager
def _coordinator(folder: Path) -> Iterator[str]:
    """A coordinator that serves on a free loopback port; its address."""
    place, port, proxy_port = folder / "coordinator", free_port(), free_port()
    ask(
        SERVER, "init", str(place), "--host", "localhost", "--port", str(port),
        "--proxy-port", str(proxy_port),
    )  # fmt: skip
    program = Program(SERVER, ["start", str(place)], folder / "coordinator.log")
    try:
        program.wait_for("serves on", START_SECONDS)
        yield f"{LOOPBACK}:{port}"
    finally:
        with _undisturbed():
            program.end()
            ask(SERVER, "stop", str(place))


@contextmanager
def _joined(folder: Path, node: NodeFolder) -> Iterator[Program]:
    """The node, once the coordinator has let it in."""
    site = node.config().site.name
    ask(SERVER, "site", "add", str(folder / "coordinator"), site, str(node.public_key))
    program = Program(CLIENT, ["start", str(node.path)], folder / "node.log")
    try:
        program.wait_for("joined", START_SECONDS)
        yield program
    finally:
        with _undisturbed():
            program.end()
            RunningNode(node).stop()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C would leave processes behind; ending them takes a bounded time."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _approve(folder: Path, node: NodeFolder, study: StudyConfig) -> None:
    file, contract = folder / "study.toml", folder / "contract.json"
    file.write_text(toml_text(study.model_dump(mode="json")), encoding="utf-8")
    ask(SERVER, "contract", str(folder / "coordinator"), str(file), "--out", str(contract))
    ask(CLIENT, "approve", str(node.path), str(contract), "--yes")


def _receipts(node: NodeFolder) -> tuple[ReceiptLine, ...]:
    return tuple(
        ReceiptLine(found.work, found.num_bytes, found.norm, found.verdict, found.sha256)
        for found in Shelf(node).receipts.all()
    )


def _errors(node: NodeFolder) -> dict[str, int]:
    errors: Counter[str] = Counter()
    for sending in Shelf(node).sendings.all():
        if sending.kind == "error":
            errors[sending.code] += sending.num
    return dict(errors)


def _reasons(node: NodeFolder) -> tuple[str, ...]:
    """What the worker and the process that computes logged beside the usual, the latest of it."""
    lines: list[str] = []
    for name in ("child.log", "worker.log"):
        file = node.log_file.with_name(name)
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            lines += [line for line in text.splitlines() if line.strip() and _USUAL not in line]
    return tuple(lines[-_MOST_REASONS:])
