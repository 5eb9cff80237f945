"""Small apps for the network's tests: no torch, no records; the study's seed says what to do.

seed 0: one round, then a result. 1: the ServerApp raises. 2: waits until it is stopped.
3: the result says failed, with exit code 6. The ServerApp reports the environment and the
command lines of its own processes; its ClientApp is there for a hospital's node not to run it.
"""

import json
import os
import threading
import time
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

app = ServerApp()
client = ClientApp()

REPORTED = ("FLWR_TELEMETRY_ENABLED", "FLWR_DISABLE_UPDATE_CHECK", "FLWR_HOME")


@app.main()
def main(grid: Grid, context: Context) -> None:
    coordinator = Path(os.environ["FEDEHR_COORDINATOR_FOLDER"])
    folder = coordinator / "runs" / str(context.run_config["run"])
    folder.mkdir()
    study = json.loads((coordinator / f"studies/{context.run_config['study']}.json").read_text())
    if study["seed"] == 1:
        raise RuntimeError("the lab's ServerApp raises")
    nodes = wait_for_nodes(grid, int(context.run_config["num-sites"]))
    progress(folder, {"event": "joined", "time_seconds": 0.5, "num_answers": len(nodes)})
    if study["seed"] == 2:
        threading.Event().wait()
    failed = study["seed"] == 3
    answers = [] if failed else ask(grid, nodes)
    progress(folder, {"event": "round", "phase": "lab", "round": 1, "num_answers": len(answers)})
    result = {
        "status": "failed" if failed else "completed",
        "code": "policy" if failed else "",
        "exit_code": 6 if failed else 0,
        "message": "the lab refuses" if failed else "",
        "server": describe_process(),
        "clients": answers,
    }
    partial = folder / "result.json.partial"
    partial.write_text(json.dumps(result))
    partial.rename(folder / "result.json")


def wait_for_nodes(grid: Grid, number: int) -> list[int]:
    while len(nodes := sorted(grid.get_node_ids())) < number:
        time.sleep(0.1)
    return nodes


def ask(grid: Grid, nodes: list[int]) -> list[dict]:
    messages = [
        Message(
            content=RecordDict({"lab": ConfigRecord({"n": 1})}),
            dst_node_id=node,
            message_type="query",
        )
        for node in nodes
    ]
    waiting = set(grid.push_messages(messages))
    answers = []
    while waiting:
        for reply in grid.pull_messages(list(waiting)):
            waiting.discard(reply.metadata.reply_to_message_id)
            answers.append({name: dict(record) for name, record in reply.content.items()})
        time.sleep(0.1)
    return answers


def progress(folder: Path, event: dict) -> None:
    with (folder / "progress.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")


def describe_process() -> dict:
    parent = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode().split("\0")
    own = Path("/proc/self/cmdline").read_bytes().decode().split("\0")
    environ = {name: os.environ.get(name) for name in REPORTED}
    return {"own": own, "parent": parent, "environ": environ}


@client.query()
def query(message: Message, context: Context) -> Message:
    record = ConfigRecord({"process": json.dumps(describe_process())})
    return Message(content=RecordDict({"lab": record}), reply_to=message)
