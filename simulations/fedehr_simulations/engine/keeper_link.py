"""The driver's end of the two pipes to its keeper."""

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from fedehr_simulations.engine.process_tree import ProcessTree

_LOOK_SECONDS = 1.0
_CLOSE_SECONDS = 30.0


class KeeperLink:
    """A running keeper: what it tells, and its end.

    Should the keeper itself be killed, `close` stops and removes in its place.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("the keeper needs both pipes")
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._rest = b""
        self._tree = ProcessTree(process.pid)
        self._looked = 0.0
        self._folders: list[Path] = []
        self.last: dict[str, Any] = {}
        """The last thing it told."""
        self.has_ended = False
        """It told its end, or it is gone."""

    def send(self, line: str) -> None:
        """Hand over the plan; the pipe stays open, and its closing means stop."""
        self._stdin.write(line.encode() + b"\n")
        self._stdin.flush()

    def read(self, timeout_seconds: float) -> list[dict[str, Any]]:
        """What the keeper told since the last call; waits for it at most so long."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._tree.refresh()
        if not select.select([self._stdout], [], [], timeout_seconds)[0]:
            return []
        chunk = os.read(self._stdout.fileno(), 65_536)
        if not chunk:
            self.has_ended = True
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [self._take(json.loads(line)) for line in lines]

    def close(self) -> None:
        """Have everything stopped and removed, and wait for it."""
        self._stdin.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            self._stdout.close()
        self._tree.stop(grace_seconds=0.0)
        for folder in self._folders:
            if folder.exists():
                shutil.rmtree(folder)

    def _take(self, event: dict[str, Any]) -> dict[str, Any]:
        self.last = event
        self._folders = [Path(folder) for folder in event.get("folders", self._folders)]
        self.has_ended = self.has_ended or event["state"] == "ended"
        return event
