"""Small apps for the engine's tests: no torch, no records; the study's seed says what to do.

seed 0: a round of greetings, a checkpoint-like file, then a result. 1: the ServerApp
raises. 2: works until it is stopped. 3: the result says failed. 4: dies by SIGKILL.
5: listens on every interface.
"""

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

app = ServerApp()
client = ClientApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    coordinator = Path(os.environ["FEDEHR_COORDINATOR_FOLDER"])
    folder = coordinator / "runs" / str(context.run_config["run"])
    study = json.loads((coordinator / f"studies/{context.run_config['study']}.json").read_text())
    seed = study["seed"]
    folder.mkdir()
    if seed == 1:
        raise RuntimeError("the lab's ServerApp raises")
    if seed == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 5:
        listener = socket.create_server(("0.0.0.0", 0))
        time.sleep(60)
        listener.close()
    nodes = wait_for_nodes(grid, int(context.run_config["num-sites"]))
    progress(folder, {"event": "joined", "num_answers": len(nodes)})
    greetings = greet(grid, nodes)
    progress(folder, {"event": "round", "round": 1, "num_answers": len(greetings), "loss": 1.5})
    if seed == 2:
        threading.Event().wait()
    failed = seed == 3
    result = {
        "status": "failed" if failed else "completed",
        "code": "deadline" if failed else "",
        "exit_code": 7 if failed else 0,
        "message": "the lab's deadline passed" if failed else "",
        "greetings": greetings,
        "working_folder": os.getcwd(),
    }
    partial = folder / "result.json.partial"
    partial.write_text(json.dumps(result))
    partial.rename(folder / "result.json")


def wait_for_nodes(grid: Grid, number: int) -> list[int]:
    while len(nodes := sorted(grid.get_node_ids())) < number:
        time.sleep(0.05)
    return nodes


def greet(grid: Grid, nodes: list[int]) -> list[dict[str, str]]:
    messages = [
        Message(content=RecordDict({"hello": ConfigRecord({"n": 1})}), dst_node_id=node,
                message_type="query")
        for node in nodes
    ]  # fmt: skip
    waiting = set(grid.push_messages(messages))
    greetings = []
    while waiting:
        for reply in grid.pull_messages(list(waiting)):
            waiting.discard(reply.metadata.reply_to_message_id)
            greetings.append(dict(reply.content["hello"]))
        time.sleep(0.05)
    return sorted(greetings, key=lambda greeting: greeting["site"])


def progress(folder: Path, event: dict) -> None:
    with (folder / "progress.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")


@client.query()
def query(message: Message, context: Context) -> Message:
    sites = Path(os.environ["FEDEHR_SITES_FOLDER"])
    names = sorted(path.name for path in sites.iterdir() if path.is_dir())
    site = names[int(context.node_config["partition-id"])]
    work = Path(os.environ["FEDEHR_WORK_FOLDER"])
    (work / f"{site}.tokens").write_text("scratch")
    greeting = {
        "site": site,
        "work": str(work),
        "threads": os.environ["FEDEHR_NUM_THREADS"],
        "proxy": os.environ.get("https_proxy", ""),
    }
    return Message(content=RecordDict({"hello": ConfigRecord(greeting)}), reply_to=message)
