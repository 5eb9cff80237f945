"""A ServerApp that asks every node each message of a file, and writes down all answers.

The file is JSON: a list of `{"type", "records"}`; see `records_of`. Answers are JSON too.
"""

import base64
import json
import os
import time
from pathlib import Path

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()

ANSWER_SECONDS = 1_500.0


@app.main()
def main(grid: Grid, context: Context) -> None:
    folder = Path(os.environ["FEDEHR_COORDINATOR_FOLDER"]) / "runs" / str(context.run_config["run"])
    folder.mkdir(exist_ok=True)
    asked = folder / "asked.json"
    messages = json.loads(asked.read_text()) if asked.exists() else [{"type": "query"}]
    while len(nodes := sorted(grid.get_node_ids())) < int(context.run_config["num-sites"]):
        time.sleep(0.2)
    answers = collected(grid, pushed(grid, nodes, messages))
    result = {"status": "completed", "code": "", "exit_code": 0, "message": "", "answers": answers}
    partial = folder / "result.json.partial"
    partial.write_text(json.dumps(result))
    partial.rename(folder / "result.json")


def pushed(grid: Grid, nodes: list[int], messages: list[dict]) -> dict[str, dict]:
    """Who was sent which message, by the engine's name for it."""
    waiting = {}
    for place, message in enumerate(messages):
        for node in nodes:
            try:
                sent = Message(
                    content=records_of(message.get("records", {})),
                    dst_node_id=node,
                    message_type=message["type"],
                )
                (name,) = grid.push_messages([sent])
            except (TypeError, ValueError, OverflowError, KeyError):
                continue  # the engine itself makes no such message
            waiting[name] = {"node": node, "message": place}
    return waiting


def collected(grid: Grid, waiting: dict[str, dict]) -> list[dict]:
    answers = []
    deadline = time.monotonic() + ANSWER_SECONDS
    while waiting and time.monotonic() < deadline:
        for reply in grid.pull_messages(list(waiting)):
            answers.append({**waiting.pop(reply.metadata.reply_to_message_id), **described(reply)})
        time.sleep(0.05)
    return answers + [{**left, "silent": True} for left in waiting.values()]


def described(reply: Message) -> dict:
    if reply.has_error():
        return {"engine_error": reply.error.code, "reason": reply.error.reason}
    found = {"values": {}, "tensors": {}}
    for name, record in reply.content.items():
        if isinstance(record, ArrayRecord):
            arrays = {key: base64.b64encode(array.data).decode() for key, array in record.items()}
            found["tensors"][name] = arrays
        else:
            found["values"][name] = {key: shown(value) for key, value in record.items()}
    return found


def shown(value: object) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def records_of(forms: dict) -> RecordDict:
    """Records as JSON tells of them: `{name: [kind, {key: value}]}`, bytes as `{"b64": text}`."""
    made = RecordDict()
    for name, (kind, values) in forms.items():
        plain = {key: unpacked(value) for key, value in values.items()}
        if kind == "array":
            made[name] = ArrayRecord({key: array_of(*array) for key, array in plain.items()})
        elif kind == "config":
            made[name] = ConfigRecord(plain)
        else:
            made[name] = MetricRecord(plain)
    return made


def array_of(dtype: str, shape: list[int], stype: str, data: bytes) -> Array:
    return Array(dtype, tuple(shape), stype, data)


def unpacked(value: object) -> object:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    if isinstance(value, list):
        return [unpacked(item) for item in value]
    return value
