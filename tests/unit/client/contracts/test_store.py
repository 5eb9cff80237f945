"""The site's contracts: received, found, decided about, and what a crash or a hand leaves."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fedehr_client.contracts.contract_files import ContractFiles
from fedehr_client.contracts.store import ContractStore
from fedehr_client.node.folder import NodeFolder
from fedehr_shared.errors import ContractError, DataError, UsageError

Ask = Callable[..., Any]


def _events(node: NodeFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in node.audit_file.read_text().splitlines()]


def test_a_contract_waits_once(node: NodeFolder, asking: Ask) -> None:
    asked, store = asking(), ContractStore(node)
    known = store.receive(asked.signed)
    assert (known.state, known.told_state) == ("waiting", "waiting")
    assert store.receive(asked.signed) == known
    assert store.find(asked.contract.digest) == known
    assert [event["event"] for event in _events(node)] == ["contract_received"]
    file = node.contracts / f"{known.digest}.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_who_decided_and_why(node: NodeFolder, asking: Ask) -> None:
    asked, store = asking(), ContractStore(node)
    digest = store.receive(asked.signed).digest
    store.approve(digest, "ada", "IRB 12/26")
    store.approve(digest, "bob", "again")
    known = store.revoke(digest, "bob", "asked by the board")
    assert [(d.state, d.by, d.note) for d in known.decisions] == [
        ("approved", "ada", "IRB 12/26"), ("revoked", "bob", "asked by the board")
    ]  # fmt: skip
    assert (known.state, known.told_state) == ("revoked", "refused")
    told = _events(node)[1:]
    assert [(e["event"], e["by"], e["note"], e["study"]) for e in told] == [
        ("contract_approved", "ada", "IRB 12/26", "small"),
        ("contract_revoked", "bob", "asked by the board", "small"),
    ]
    # A proposal of the same contract undoes nothing.
    assert store.receive(asked.signed).state == "revoked"


def test_only_an_approval_is_revoked(node: NodeFolder, asking: Ask) -> None:
    store = ContractStore(node)
    digest = store.receive(asking().signed).digest
    with pytest.raises(UsageError, match="is waiting"):
        store.revoke(digest, "ada")
    store.refuse(digest, "ada")
    with pytest.raises(UsageError, match="is refused"):
        store.revoke(digest, "ada")
    with pytest.raises(UsageError, match="no contract"):
        store.approve("0" * 64, "ada")


def test_by_name_and_by_the_beginning_of_its_digest(node: NodeFolder, asking: Ask) -> None:
    store = ContractStore(node)
    first = store.receive(asking({"name": "first"}).signed)
    second = store.receive(asking({"name": "second"}).signed)
    assert store.named("first") == first
    assert store.named(second.digest[:12]) == second
    newer = store.receive(asking({"name": "first"}, num_runs=2).signed)
    with pytest.raises(UsageError, match=f"{newer.digest[:12]}.*Give the digest"):
        store.named("first")
    for unknown in ("third", "", first.digest[:3], "../first"):
        with pytest.raises(UsageError, match="fedehr-client studies"):
            store.named(unknown)


def test_a_digest_is_no_path(node: NodeFolder) -> None:
    store = ContractStore(node)
    node.contracts.mkdir()
    (node.contracts.parent / "x.json").write_text("{}")
    for digest in ("../x", "x" * 64, "", "A" * 64, "/etc/passwd"):
        assert store.find(digest) is None


def test_signed_anew_by_a_newer_certificate(node: NodeFolder, asking: Ask, office: Any) -> None:
    from fedehr_server.network.certificates import create_signer

    asked, store = asking(), ContractStore(node)
    digest = store.receive(asked.signed).digest
    store.approve(digest, "ada")
    create_signer(office.folder)
    newer = office.sign_text(asked.signed.text)
    assert newer.certificate != asked.signed.certificate
    known = store.receive(newer)
    assert (known.state, known.signed) == ("approved", newer)


def test_a_flood_of_proposals_ends(
    node: NodeFolder, asking: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedehr_client.contracts.store._MOST_WAITING", 3)
    store = ContractStore(node)
    known = [store.receive(asking({"seed": seed}).signed) for seed in range(3)]
    one_more = asking({"seed": 3}).signed
    with pytest.raises(ContractError, match="3 contracts wait"):
        store.receive(one_more)
    assert store.receive(known[0].signed) == known[0]
    store.refuse(known[0].digest, "ada")
    store.receive(one_more)


def test_what_waits_is_counted_without_being_read(
    node: NodeFolder, asking: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ContractStore(node)
    digests = [store.receive(asking({"seed": seed}).signed).digest for seed in range(4)]
    store.approve(digests[0], "ada")
    store.refuse(digests[1], "ada")
    (node.contracts / f"{digests[2]}.json").write_text("{}")
    counted = sum(known.state == "waiting" for known in store.all())
    assert store.files.num_waiting() == counted == 1
    one_more = asking({"seed": 9}).signed
    read: list[str] = []
    whole = ContractFiles.read

    def reading(files: ContractFiles, digest: str) -> Any:
        read.append(digest)
        return whole(files, digest)

    monkeypatch.setattr(ContractFiles, "read", reading)
    known = store.receive(one_more)
    assert read == [known.digest], "a new proposal reads no other contract"
    assert store.files.num_waiting() == 2


def test_a_contract_that_is_very_long_does_not_wait(
    node: NodeFolder, asking: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a store's worth of them, each a few megabytes, listing them would take minutes."""
    store = ContractStore(node)
    names = tuple(sorted(["north", *(f"{number:063d}" for number in range(9_999))]))
    first, second = asking(sites=names).signed, asking({"seed": 2}, sites=names).signed
    known = store.receive(first)
    assert known.state == "waiting", "the largest contract of real studies is taken"
    monkeypatch.setattr("fedehr_client.contracts.store.MOST_WAITING_CHARACTERS", 600_000)
    with pytest.raises(ContractError, match=rf"{len(second.text):,} characters.*600,000"):
        store.receive(second)
    assert store.receive(first) == known
    assert store.files.num_waiting() == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: {},
        lambda values: {**values, "format": 2},
        lambda values: {**values, "decisions": [{"state": "approved"}]},
        lambda values: {**values, "decisions": "approved"},
        lambda values: {**values, "runs": [{"run_id": 1}]},
        lambda values: {**values, "signed": {"text": "x"}},
    ],
)
def test_a_damaged_file_is_told_and_hides_no_other(
    node: NodeFolder, asking: Ask, spoil: Callable[[Any], Any]
) -> None:
    store = ContractStore(node)
    sound = store.receive(asking({"name": "sound"}).signed)
    digest = store.receive(asking({"name": "spoilt"}).signed).digest
    file = node.contracts / f"{digest}.json"
    file.write_text(json.dumps(spoil(json.loads(file.read_text()))))
    assert store.all() == [sound]
    assert list(store.unreadable()) == [digest]
    with pytest.raises((DataError, ContractError)):
        store.find(digest)
    with pytest.raises((DataError, ContractError)):
        store.refuse(digest, "ada")
    with pytest.raises(UsageError):
        store.named("spoilt")


def test_a_file_under_another_name_is_not_believed(node: NodeFolder, asking: Ask) -> None:
    store = ContractStore(node)
    approved = store.receive(asking({"name": "approved"}).signed)
    store.approve(approved.digest, "ada")
    other = asking({"name": "other"}).contract.digest
    text = (node.contracts / f"{approved.digest}.json").read_text()
    (node.contracts / f"{other}.json").write_text(text)
    with pytest.raises(DataError, match="damaged"):
        store.find(other)


def test_a_contract_of_an_older_version_is_listed_as_such(node: NodeFolder, asking: Ask) -> None:
    store = ContractStore(node)
    digest = store.receive(asking().signed).digest
    file = node.contracts / f"{digest}.json"
    values = json.loads(file.read_text())
    text = json.loads(values["signed"]["text"])
    values["signed"]["text"] = json.dumps({**text, "fedehr_version": "0.0.1"})
    file.write_text(json.dumps(values))
    assert store.all() == []
    assert "0.0.1" in store.unreadable()[digest]


def test_what_a_crash_leaves_half_written_is_written_over(node: NodeFolder, asking: Ask) -> None:
    store = ContractStore(node)
    known = store.receive(asking().signed)
    partial = node.contracts / f".partial.{known.digest}.json"
    partial.write_text("{")
    assert store.all() == [known]
    assert store.approve(known.digest, "ada").state == "approved"
    assert not partial.exists()


def test_a_full_disk_approves_nothing(
    node: NodeFolder, asking: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ContractStore(node)
    digest = store.receive(asking().signed).digest

    def full(source: Any, target: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(DataError, match="No space left"):
        store.approve(digest, "ada")
    monkeypatch.undo()
    known = store.find(digest)
    assert known is not None
    assert known.state == "waiting"
    assert set(os.listdir(node.contracts)) == {".lock", f"{digest}.json"}


def test_the_lock_is_one_of_processes(node: NodeFolder, asking: Ask) -> None:
    """A decision by another process between reading and writing is not lost."""
    store = ContractStore(node)
    digest = store.receive(asking().signed).digest
    files = ContractFiles(node.contracts)
    child = os.fork()
    if child == 0:
        try:
            for _ in range(20):
                with files.alone():
                    known = files.read(digest)
                    assert known is not None
                    files.write(replace(known, received=f"{known.received}x"))
        finally:
            os._exit(0)
    for _ in range(20):
        with files.alone():
            known = files.read(digest)
            assert known is not None
            files.write(replace(known, received=f"{known.received}x"))
    os.waitpid(child, 0)
    known = files.read(digest)
    assert known is not None
    assert known.received.endswith("x" * 40)
