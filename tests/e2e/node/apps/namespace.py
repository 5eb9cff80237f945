"""`OneWayNamespace`: a network in which a node reaches the coordinator's machine and no other.

A pair of virtual interfaces and a network namespace, as root; nothing is forwarded. What the
node sends is watched at the other end, packet by packet, with what it was refused.
"""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Sequence

HOST, NODE = "10.213.77.1", "10.213.77.2"
_ETH_P_ALL = 0x0003
_TCP, _UDP = 6, 17


def why_not() -> str | None:
    """What this machine lacks for it, or None."""
    if os.geteuid() != 0:
        return "a network namespace with an interface of its own needs root"
    for program in ("ip", "nsenter", "ss"):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt-get install iproute2 util-linux)"
    done = subprocess.run(
        ["unshare", "--net", "ip", "link", "add", "dev", "fedehr-try", "type", "veth"],
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    return f"this machine makes no virtual interfaces: {done.stderr}" if done.returncode else None


class OneWayNamespace:
    """Named after this process; used as a context."""

    def __init__(self) -> None:
        self.name = f"fedehr-{os.getpid()}"
        self._link = f"fh{os.getpid() % 10**8}"
        self.packets: set[tuple[str, str, int]] = set()
        """(`tcp`, `udp` or a number; destination; port) of all that the node sent first."""
        self._done = threading.Event()

    def __enter__(self) -> "OneWayNamespace":
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for words in (("netns", "del", self.name), ("link", "del", self._link)):
            subprocess.run(["ip", *words], capture_output=True, check=False)

    def command(self, *words: object) -> list[str]:
        """`words` inside."""
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def listening(self) -> set[str]:
        """Addresses on which anything inside listens, for TCP and UDP."""
        found = subprocess.run(
            self.command("ss", "-H", "-ltun"), capture_output=True, check=True, text=True
        )
        return {line.split()[4].rpartition(":")[0] for line in found.stdout.splitlines()}

    def _make(self) -> None:
        peer = "node0"
        for words in (
            ("netns", "add", self.name),
            ("link", "add", self._link, "type", "veth", "peer", "name", peer, "netns", self.name),
            ("addr", "add", f"{HOST}/30", "dev", self._link),
            ("link", "set", self._link, "up"),
        ):
            _ip(words)
        for words in (
            ("addr", "add", f"{NODE}/30", "dev", peer),
            ("link", "set", peer, "up"),
            ("link", "set", "lo", "up"),
            # Whatever else it looks for comes to us, is seen, and goes nowhere.
            ("route", "add", "default", "via", HOST),
        ):
            _ip(("-n", self.name, *words))

    def _watch(self) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as wire:
            wire.bind((self._link, 0))
            wire.settimeout(0.2)
            while not self._done.is_set():
                with contextlib.suppress(TimeoutError, OSError):
                    self._note(wire.recv(65_535))

    def _note(self, frame: bytes) -> None:
        (kind,) = struct.unpack("!H", frame[12:14])
        if kind != 0x0800:
            return
        packet = frame[14:]
        source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        if source != NODE:
            return
        protocol, body = packet[9], packet[(packet[0] & 15) * 4 :]
        if protocol == _TCP:
            is_first = body[13] & 0x12 == 0x02
            if is_first:
                self.packets.add(("tcp", target, int.from_bytes(body[2:4], "big")))
        elif protocol == _UDP:
            self.packets.add(("udp", target, int.from_bytes(body[2:4], "big")))
        else:
            self.packets.add((str(protocol), target, 0))


def _ip(words: Sequence[str]) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, check=False, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
