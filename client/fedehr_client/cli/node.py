"""`fedehr-client start | stop | status | pause | resume | logs | leave`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedehr_shared.console import err, out, print_json

if TYPE_CHECKING:
    from fedehr_client.node.folder import NodeFolder

app = typer.Typer()

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def start(
    folder: Folder,
    detach: Annotated[bool, typer.Option("--detach", help="Return once it has joined.")] = False,
) -> None:
    """Join the federation and answer the work of approved studies.

    It goes on until `stop`, SIGTERM or Ctrl-C: what ends is started
    again, and a coordinator that is away is waited for.

    Exit code 2: the node runs already.
    Exit code 5: the coordinator cannot be reached, shows a wrong
    certificate, or does not know the key of a site that never joined.
    Of a node started with --detach that waits for its key to be known,
    too: it stays, and tries again every minute.
    """
    from fedehr_client.node.folder import open_node
    from fedehr_client.supervision.running_node import RunningNode, already_running

    node = open_node(folder)
    if RunningNode(node).pid is not None:
        raise already_running(node)
    _warn_of_a_readable_key(node)
    err.print(f"joining {node.config().network.coordinator} ...", soft_wrap=True, markup=False)
    if detach:
        _start_detached(node)
    else:
        _start_here(node)


def _warn_of_a_readable_key(node: "NodeFolder") -> None:
    import stat

    key = node.config().network.private_key
    if key.is_file() and key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        _say(f"warning: other users of this machine may read {key}. Mend it: chmod 600 {key}")


def _start_here(node: "NodeFolder") -> None:
    from fedehr_client.supervision.serve import serve

    num_processes = serve(node, is_detached=False, on_joined=lambda: _say_joined(node))
    out.print(f"stopped: {_ended(num_processes)}")


def _start_detached(node: "NodeFolder") -> None:
    from fedehr_client.supervision.launch import start_detached
    from fedehr_shared.errors import NetworkError
    from fedehr_shared.processes import termination_interrupts

    with termination_interrupts():
        launched = start_detached(node, _say)
    if launched.is_joined:
        _say_joined(node)
        return
    hints = f"`fedehr-client status {node.path}` shows it, `fedehr-client stop {node.path}` ends it"
    if launched.needs_a_person:
        raise NetworkError(
            f"not joined yet: {launched.reason} The node stays and tries again every minute: "
            f"{hints}."
        )
    _say(f"waiting: {launched.reason}")
    out.print(f"started; it joins as soon as the coordinator answers: {hints}", soft_wrap=True)


def _say(text: str) -> None:
    """Names of sections stand in brackets, which are no markup."""
    err.print(text, markup=False, soft_wrap=True)


def _say_joined(node: "NodeFolder") -> None:
    logs = node.log_file.parent
    out.print(f"joined {node.config().network.coordinator}, logs {logs}", soft_wrap=True)


@app.command()
def stop(folder: Folder) -> None:
    """Stop the node and every process it started, within 30 seconds.

    Work that is under way is given up. What was finished and not yet
    sent is kept, and sent after the next start.
    """
    from fedehr_client.node.folder import open_node
    from fedehr_client.supervision.running_node import RunningNode

    num_processes = RunningNode(open_node(folder)).stop()
    out.print(f"stopped: {_ended(num_processes)}" if num_processes else "nothing was running")


def _ended(num_processes: int) -> str:
    return f"{num_processes} process(es) ended, none left"


@app.command()
def status(folder: Folder, as_json: Json = False) -> None:
    """Say how the node stands: its connection, processes, studies, what it sent and spent."""
    from fedehr_client.node.folder import open_node
    from fedehr_client.supervision.node_status import node_status

    found = node_status(open_node(folder))
    if as_json:
        print_json(found)
        return
    for line in _told(found):
        out.print(line, soft_wrap=True, markup=False)


def _told(found: dict[str, Any]) -> list[str]:
    reason = f": {found['reason']}" if found["reason"] else ""
    # The reason of a pause has the moment in it.
    since = f" since {found['since']}" if found["since"] and found["state"] != "paused" else ""
    lines = [f"site {found['name']}: {found['state']}{since}{reason}"]
    if found["paused"] and found["state"] != "paused":
        lines.append(f"paused since {found['paused']['since']}; fedehr-client resume ends that")
    if found["state"] == "joined" and not found["ready"]:
        lines.append(f"not ready: {found['unready']}; see fedehr-client logs")
    lines.append(f"coordinator {found['coordinator']}")
    lines.append(f"records {found['records']}")
    for process in found["processes"]:
        pid = "not running" if process["pid"] is None else f"process {process['pid']}"
        lines.append(f"{process['name']}: {pid}, restarted {process['num_restarts']} time(s)")
    ports = found["monitoring"]
    if ports["http_port"]:
        lines.append(
            f"health http://127.0.0.1:{ports['http_port']}/readyz, gRPC "
            f"127.0.0.1:{ports['grpc_port']}"
        )
    studies = ", ".join(f"{count} {state}" for state, count in sorted(found["studies"].items()))
    lines.append(f"studies: {studies or 'none'}")
    lines.append(f"last round: {_told_round(found['last_round'])}")
    sent = found["sent_bytes_last_day"]
    told_bytes = "unknown; see fedehr-client audit" if sent is None else f"{sent:,} bytes"
    lines.append(f"sent in 24 hours: {told_bytes}")
    lines.append(f"epsilon spent: {_told_epsilon(found['spent_epsilon'])}")
    return lines


def _told_round(last: dict[str, Any] | None) -> str:
    if last is None:
        return "none"
    return (
        f"{last['study']}, {last['phase']} {last['round']}, {last['time']}, "
        f"{last['seconds']:.1f} s, {last['bytes']:,} bytes"
    )


def _told_epsilon(spent: float | str | None) -> str:
    if spent is None:
        return "unknown; see fedehr-client budget"
    return spent if isinstance(spent, str) else f"{spent:.3f}"


@app.command()
def pause(
    folder: Folder,
    reason: Annotated[str, typer.Option(help="Shown by `status`; stays here.")] = "",
) -> None:
    """Stop working for studies, and free the GPU, until `resume`.

    A round under way is given up within two seconds. The node stays
    connected and answers `busy`. A pause outlives restarts.
    """
    from fedehr_client.audit import events
    from fedehr_client.audit.log import Audit
    from fedehr_client.node.folder import open_node
    from fedehr_client.supervision.pause import PauseMarker

    node = open_node(folder)
    PauseMarker(node.state).set(reason)
    events.paused(Audit(node.audit_file))
    out.print(f"paused; fedehr-client resume {folder} ends that", soft_wrap=True)


@app.command()
def resume(folder: Folder) -> None:
    """Work for studies again after `pause`."""
    from fedehr_client.audit import events
    from fedehr_client.audit.log import Audit
    from fedehr_client.node.folder import open_node
    from fedehr_client.supervision.pause import PauseMarker

    node = open_node(folder)
    if not PauseMarker(node.state).clear():
        out.print("was not paused")
        return
    events.resumed(Audit(node.audit_file))
    out.print("works again")


@app.command()
def logs(
    folder: Folder,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    process: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="node, supernode, worker or child; left out, all."),
    ] = None,
    lines: Annotated[int, typer.Option(min=0, help="How many of each log's last lines.")] = 20,
) -> None:
    """Show the end of the node's logs."""
    from fedehr_client.node.folder import open_node
    from fedehr_client.supervision.log_files import PROCESSES, log_file
    from fedehr_client.supervision.log_reader import follow_logs, last_lines
    from fedehr_client.supervision.log_tail import LogTail

    node = open_node(folder)
    files = {name: log_file(node, name) for name in process or PROCESSES}

    def show(name: str, line: str) -> None:
        text = line if len(files) == 1 else f"{name}: {line}"
        out.print(text, soft_wrap=True, markup=False)

    tails = {name: LogTail(file) for name, file in files.items()}
    for name, tail in tails.items():
        for line in last_lines(tail, lines):
            show(name, line)
    if follow:
        follow_logs(tails, show)


@app.command()
def leave(
    folder: Folder,
    erase_work: Annotated[
        bool, typer.Option("--erase-work", help="Remove caches and parts of models too.")
    ] = False,
    yes_erase_ledger: Annotated[
        bool,
        typer.Option("--yes-erase-ledger", help="With --erase-work: the account of privacy too."),
    ] = False,
) -> None:
    """Leave the federation: stop the node and say what the coordinator has to do.

    Site file, key, contracts, receipts, audit and records stay. So does
    the account of privacy: what left about the subjects cannot be taken
    back, and a later study must count it. Of a node that has left it says
    so; what is to be erased is erased all the same.
    """
    from fedehr_client.audit import events
    from fedehr_client.audit.log import Audit
    from fedehr_client.node.folder import open_node
    from fedehr_client.supervision.leaving import leave as leave_federation
    from fedehr_client.supervision.left_marker import LeftMarker
    from fedehr_shared.errors import UsageError

    if yes_erase_ledger and not erase_work:
        raise UsageError("--yes-erase-ledger goes with --erase-work.")
    node = open_node(folder)
    config = node.config()
    left = LeftMarker(node.state)
    since = left.since()
    removed = leave_federation(node, erase_work=erase_work, erase_ledger=yes_erase_ledger)
    if since is None:
        events.left(Audit(node.audit_file), coordinator=config.network.coordinator)
        left.set()
        out.print("stopped; nothing of this node runs any more")
    else:
        out.print(f"this node left on {since}, and nothing of it runs")
    if erase_work:
        kept = "" if yes_erase_ledger else f"; kept {config.site.work / 'privacy'}"
        out.print(f"removed {len(removed)} cache(s){kept}", soft_wrap=True)
    asked = "ask the coordinator to run" if since is None else "if the coordinator has not yet"
    out.print(f"{asked}: fedehr-server site remove DIR {config.site.name}", soft_wrap=True)
    out.print(f"site file, key, contracts, receipts and audit stay in {folder}", soft_wrap=True)
