"""Bundles that carry code: run by the engine's own client they write a file."""

import shutil
from pathlib import Path

LAB = Path(__file__).with_name("lab_server.py")
SERVER_APP = "fedehr_server.app:app"
"""Of the installed package: a whole study, conducted by a bundle that carries code beside it."""

_BUNDLE = """\
[project]
name = "hostile"
version = "0.1.0"
description = "Carries code that no site has installed"
license = "Apache-2.0"
dependencies = []

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.flwr.app]
publisher = "fedehr"

[tool.flwr.app.components]
serverapp = "{server_app}"
clientapp = "{client_app}"

[tool.flwr.app.config]
study = ""
run = ""
num-sites = 0
"""

_WRITES = """\
import os, sys
with open({trace!r}, "a") as file:
    file.write(__name__ + " in " + " ".join(sys.orig_argv) + "\\n")
"""

_APP = """\
from flwr.app import ConfigRecord, RecordDict, Message
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query()
def query(message, context):
    return Message(RecordDict({"stolen": ConfigRecord({"ran": True})}), reply_to=message)
"""

KINDS = ("client app", "whole package", "other module")


def make_bundle(folder: Path, trace: Path, kind: str, server_app: str = "lab_server:app") -> Path:
    """A folder for `flwr run`, whose modules write `trace` when they are imported.

    Args:
        folder: new.
        trace: absolute.
        kind: `client app`, a `fedehr_client/app.py` that shadows the installed one; `whole
            package`, further modules that a node's processes import; `other module`, an app of
            a name of its own.
        server_app: what drives the run; `lab_server:app` asks every node one question.
    """
    folder.mkdir(parents=True)
    shutil.copyfile(LAB, folder / "lab_server.py")
    writes = _WRITES.format(trace=str(trace))
    client_app = "fedehr_client.app:app"
    modules = {"fedehr_client/__init__.py": writes, "fedehr_client/app.py": writes + _APP}
    if kind == "whole package":
        for name in ("worker", "child", "engine", "supervision", "answers", "outbox"):
            modules[f"fedehr_client/{name}/__init__.py"] = writes
            modules[f"fedehr_client/{name}/__main__.py"] = writes
    if kind == "other module":
        client_app = "stranger:app"
        modules = {"stranger.py": writes + _APP}
    for name, text in modules.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "pyproject.toml").write_text(
        _BUNDLE.format(server_app=server_app, client_app=client_app)
    )
    return folder
