"""Thousands of hostile messages at a node's desk, between the honest ones of a study.

The desk is the worker's own, with a real node folder and a real process that computes. No
message makes it fail, runs code, brings out a number that the tables do not list, or changes a
bit of what the honest study gets.
"""

import gc
import hashlib
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedehr_shared.contract.requests import End, Proposal, under_contract
from fedehr_shared.errors import ERROR_CODES
from fedehr_shared.privacy.key_patterns import KeyPatterns
from fedehr_shared.wire.codec.record import decode
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import PHASES

NODE = 1
SITES = ("hospital-1", "hospital-2", "hospital-3")
HONEST_RUN, HOSTILE_RUNS = 7, (8, 8, 8, 8, 9, 0, -1, 2**64 - 1)
MOST_GROWTH_BYTES = 96 * 2**20
_FORBIDDEN = {
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class", "socket.connect",
    "socket.bind", "socket.sendto", "code.__new__", "ctypes.dlopen", "os.symlink", "os.link",
}  # fmt: skip
_REFERENCE = re.compile(r"[0-9a-f]{16}")


class Watch:
    """What this process does while it is on: nothing of `_FORBIDDEN`, no writing elsewhere."""

    def __init__(self, allowed: Path) -> None:
        self._allowed = str(allowed)
        self.is_on = False
        self.found: list[str] = []
        # A hook stays until the process ends; switched off it costs nothing to speak of.
        sys.addaudithook(self._heed)

    def _heed(self, event: str, details: tuple[Any, ...]) -> None:
        if self.is_on and self._is_wrong(event, details):
            self.found.append(f"{event} {details!r:.200}")

    def _is_wrong(self, event: str, details: tuple[Any, ...]) -> bool:
        if event == "subprocess.Popen":
            return "fedehr_client.child" not in str(details[1])
        if event == "open":
            return self._is_write_elsewhere(*details)
        return event in _FORBIDDEN

    def _is_write_elsewhere(self, path: object, mode: object, flags: int) -> bool:
        is_write = bool(flags & (os.O_WRONLY | os.O_RDWR)) or "w" in str(mode)
        if not is_write or not isinstance(path, str):
            return False
        return not path.startswith((self._allowed, "/dev/null")) and "__pycache__" not in path


class Desk:
    """The worker's desk of a node, and the study that it was asked for."""

    def __init__(self, folder: Path, office: Any, site: Any, study: Any) -> None:
        from fedehr_client.node.folder import NodeFolder
        from fedehr_client.worker.desk import Desk as WorkersDesk

        self.office = office
        self.site = site
        self.study = study
        self.folder = NodeFolder(folder)
        folder.mkdir(mode=0o700)
        (folder / "logs").mkdir(mode=0o700)
        (folder / "state").mkdir(mode=0o700)
        (folder / "ca.crt").write_bytes(office.authority.read_bytes())
        self.folder.site_file.write_text(
            f'[site]\nname = "{site.name}"\nrecords = "{site.path}"\n'
            "[ceilings]\nmin_cell = 5\n"
            '[compute]\ndevice = "cpu"\nnum_threads = 1\nprecision = "fp32"\n'
            '[network]\ncoordinator = "coordinator.example:443"\n'
            'root_certificates = "ca.crt"\nprivate_key = "node.key"\n'
        )
        self._desk = WorkersDesk(self.folder, lambda: None)

    def sign(self, study: Any, **changes: Any) -> Any:
        return self.office.sign(study, sites=SITES, **changes)

    def approve(self, signed: Any) -> str:
        from fedehr_client.contracts.store import ContractStore

        store = ContractStore(self.folder)
        digest: str = store.receive(signed).digest
        store.approve(digest, by="tests")
        return digest

    def ask(self, task: Any) -> Payload:
        answer = self._desk.answer(task)
        answer.on_sent()
        payload: Payload = answer.payload
        return payload

    def close(self) -> None:
        self._desk.close()


@pytest.fixture(scope="module")
def desk(
    contract_office: Any,
    hospitals: Any,
    make_study: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("hostile")
    office = contract_office.ContractOffice.open(folder / "office")
    made = Desk(folder / "node", office, hospitals.sites[NODE], make_study())
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def _without_records_of_the_log() -> Iterator[None]:
    """pytest keeps them all; whether memory grows is asked here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def watch(desk: Desk) -> Watch:
    return Watch(desk.folder.path)


def _requests(finished_study: Any, direction: str) -> list[Payload]:
    found = [m for m in finished_study.messages if (m.node, m.direction) == (NODE, direction)]
    return [message.payload for message in found]


def _of_study(request: Payload, study: Any) -> Payload:
    """The same request for another study."""
    work = dict(request.values["work"])
    _, _, place = str(work["work_id"]).partition("/")
    work |= {"work_id": f"{study.digest}/{place}", "study": study.to_json()}
    return Payload(dict(request.tensors), {**request.values, "work": work})


def _corpus(desk: Desk, finished_study: Any, make_study: Any, node_apps: Any) -> list[Any]:
    """Honest messages of an approved contract and of one that nobody has decided about."""
    form_of = node_apps.hostile_messages.form_of
    approved = desk.sign(desk.study, max_codes=3_000)
    digest = desk.approve(approved)
    other = make_study(seed=5)
    waiting = desk.sign(other)
    unknown = hashlib.sha256(waiting.text.encode()).hexdigest()
    found = []
    for request in _requests(finished_study, "down"):
        found.append(form_of(under_contract(request, digest, approved)))
        found.append(form_of(under_contract(request, digest, None)))
        found.append(form_of(under_contract(_of_study(request, other), unknown, waiting)))
        found.append(form_of(request))
    found += [form_of(Proposal(approved).to_payload()), form_of(Proposal(waiting).to_payload())]
    found += [form_of(End(digest, "0" * 64).to_payload()), form_of(End(unknown).to_payload())]
    return found


def _unlisted(reply: Payload, study: Any) -> list[str]:
    """What an answer holds and no table lists."""
    names = [(record, name) for record, data in reply.tensors.items() for name in decode(data)]
    names += [(record, key) for record, values in reply.values.items() for key in values]
    table = KeyPatterns(study)
    of_phases = (
        [f"{record}.{key}" for record, key in names if table.find(phase, record, key) is None]
        for phase in PHASES
    )
    return min(of_phases, key=len)


def _require_harmless(reply: Payload, desk: Desk) -> str:
    """The kind of answer."""
    if "error" in reply.values:
        assert (set(reply.values), reply.tensors) == ({"error"}, {})
        assert reply.values["error"].keys() == {"code", "reference"}
        code = reply.text("error", "code")
        assert code in ERROR_CODES
        assert _REFERENCE.fullmatch(reply.text("error", "reference"))
        return code
    for kind, keys in {"proposal": {"site", "state"}, "end": {"site"}}.items():
        if kind in reply.values:
            assert (set(reply.values), reply.tensors) == ({kind}, {})
            assert reply.values[kind].keys() == keys
            assert reply.text(kind, "site") == desk.site.name
            return kind
    assert _unlisted(reply, desk.study) == []
    assert reply.text("report", "site") == desk.site.name
    return "report"


def _throw(
    desk: Desk,
    watch: Watch,
    *,
    node_apps: Any,
    forms: Any,
    honest: list[tuple[Any, Payload]],
    number: int,
) -> Counter[str]:
    """`number` hostile messages, and the honest ones spread among them."""
    kinds: Counter[str] = Counter()
    process, sizes = psutil.Process(), []
    waiting = list(honest)
    while kinds.total() < number:
        if waiting and kinds.total() >= number * (len(honest) - len(waiting)) // len(honest):
            _ask_honestly(desk, node_apps, *waiting.pop(0))
        form = forms.draw()
        try:
            task = node_apps.hostile_task.HostileTask(
                node_apps.lab_server.records_of(form["records"]),
                message_type=form["type"],
                run_id=forms.choice(HOSTILE_RUNS),
                bundle_sha256=forms.choice(["b" * 64] * 9 + ["c" * 64]),
            )
        except (TypeError, ValueError, OverflowError, KeyError):
            continue  # the engine itself makes no such message
        if forms.choice(range(20)) == 0:
            task.spoil(forms.choice(range(50)), forms.noise())
        watch.is_on = True
        reply = desk.ask(task)
        watch.is_on = False
        kinds[_require_harmless(reply, desk)] += 1
        if kinds.total() % (number // 10) == 0:
            gc.collect()
            sizes.append(process.memory_info().rss)
    assert not waiting
    assert watch.found == []
    assert sizes[-1] - min(sizes[1:4]) < MOST_GROWTH_BYTES, sizes
    return kinds


def _ask_honestly(desk: Desk, node_apps: Any, form: Any, expected: Payload) -> None:
    task = node_apps.hostile_task.HostileTask(
        node_apps.lab_server.records_of(form["records"]),
        message_type="query",
        run_id=HONEST_RUN,
        bundle_sha256="b" * 64,
    )
    reply = desk.ask(task)
    assert "error" not in reply.values, reply.values
    assert reply.tensors == expected.tensors
    assert reply.values["report"] == expected.values["report"]


@pytest.mark.parametrize(
    "number", [pytest.param(300, id="some"), pytest.param(10_000, marks=pytest.mark.long)]
)
def test_no_message_harms_the_node_or_an_honest_study(
    desk: Desk,
    watch: Watch,
    *,
    finished_study: Any,
    make_study: Callable[..., Any],
    node_apps: Any,
    tmp_path: Path,
    number: int,
) -> None:
    trace = tmp_path / "ran"
    corpus = _corpus(desk, finished_study, make_study, node_apps)
    forms = node_apps.hostile_messages.HostileMessages(number, corpus, str(trace))
    honest = desk.sign(desk.study, max_codes=4_000 + number)
    digest = desk.approve(honest)
    form_of = node_apps.hostile_messages.form_of
    asked = _requests(finished_study, "down")
    pairs = [
        (form_of(under_contract(request, digest, None)), answer)
        for request, answer in zip(asked, _requests(finished_study, "up"), strict=True)
    ]
    kinds = _throw(desk, watch, node_apps=node_apps, forms=forms, honest=pairs, number=number)
    print(f"{number} messages: {dict(kinds.most_common())}")
    assert not trace.exists()
    assert {"wire", "contract", "not_approved"} <= kinds.keys()
    assert number < 10_000 or {"proposal", "end", "report"} <= kinds.keys()
    assert kinds["failed"] == 0, "a hostile message was not foreseen"
    from fedehr_client.audit.log import Audit

    assert Audit(desk.folder.audit_file).verify().num_torn == 0
