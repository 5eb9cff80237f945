"""The coordinator's signer and its shelf of contracts."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from flwr.cli.build import build_fab_from_disk

from fedehr_server.bundle import bundle_file, bundle_sha256
from fedehr_server.network import certificates
from fedehr_server.network.contract_draft import ContractWishes, draft_contract
from fedehr_server.network.contract_shelf import ContractShelf
from fedehr_server.network.coordinator import CoordinatorFolder
from fedehr_server.network.proposal import contract_for, contract_named
from fedehr_server.network.signer import Signer
from fedehr_server.run_order import RunOrder
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.errors import ConfigError, ContractError, UsageError

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def bundle() -> str:
    return bundle_sha256()


def _verify(folder: CoordinatorFolder, signed: SignedContract) -> Any:
    return signed.verify((folder.pki / "ca.crt").read_bytes(), datetime.now(UTC))


def test_a_new_folder_signs_and_its_key_is_private(
    coordinator: CoordinatorFolder, draft: Make
) -> None:
    contract = draft()
    assert _verify(coordinator, Signer(coordinator).sign(contract)) == contract
    assert (coordinator.pki / "signer.key").stat().st_mode & 0o777 == 0o600


def test_an_older_folder_gets_its_signer_at_the_first_use(
    coordinator: CoordinatorFolder, draft: Make
) -> None:
    for name in ("signer.key", "signer.crt"):
        (coordinator.pki / name).unlink()
    coordinator.contracts.rmdir()
    signed = ContractShelf(coordinator).sign(draft())
    _verify(coordinator, signed)
    assert (coordinator.pki / "signer.key").stat().st_mode & 0o777 == 0o600
    assert ContractShelf(coordinator).take(draft().digest) == draft()


def test_a_certificate_that_ends_too_early_is_made_anew_for_the_same_key(
    coordinator: CoordinatorFolder, draft: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "SIGNER_DAYS", 2)
    certificates.create_signer(coordinator.pki)
    short = (coordinator.pki / "signer.crt").read_bytes()
    with pytest.raises(ConfigError, match="--days"):
        Signer(coordinator).sign(draft())
    monkeypatch.undo()
    signed = Signer(coordinator).sign(draft())
    _verify(coordinator, signed)
    renewed = x509.load_pem_x509_certificate(signed.certificate.encode())
    assert renewed != x509.load_pem_x509_certificate(short)
    assert renewed.public_key() == x509.load_pem_x509_certificate(short).public_key()


def test_a_new_authority_certifies_the_signer_anew(
    coordinator: CoordinatorFolder, draft: Make, keys: Any
) -> None:
    old = Signer(coordinator).sign(draft())
    for name in ("ca.crt", "ca.key"):
        (coordinator.pki / name).write_bytes((keys.folder / name).read_bytes())
    assert _verify(coordinator, Signer(coordinator).sign(draft())) == draft()
    with pytest.raises(ContractError, match="not certified"):
        _verify(coordinator, old)


def test_an_authority_s_key_that_is_not_its_own_signs_nothing(
    coordinator: CoordinatorFolder, draft: Make, keys: Any
) -> None:
    (coordinator.pki / "signer.crt").unlink()
    (coordinator.pki / "ca.key").write_bytes((keys.folder / "ca.key").read_bytes())
    with pytest.raises(ConfigError, match=r"ca\.key"):
        Signer(coordinator).sign(draft())
    (coordinator.pki / "ca.key").unlink()
    with pytest.raises(ConfigError, match=r"ca\.key"):
        Signer(coordinator).sign(draft())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_bundle_s_digest_is_that_of_what_the_engine_packs(bundle: str, tmp_path: Path) -> None:
    # Whatever the folder is called: a run's bundle lies in a folder of another name.
    for name in ("bundle", "another-name"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_bytes(bundle_file().read_bytes())
        assert sha256(build_fab_from_disk(tmp_path / name)).hexdigest() == bundle
    altered = tmp_path / "altered.toml"
    altered.write_text(bundle_file().read_text().replace("0.1.0", "0.1.1"))
    assert bundle_sha256(altered) != bundle
    altered.write_text("[project]\nname = 'x'\n")
    with pytest.raises(ConfigError, match="does not build"):
        bundle_sha256(altered)


def test_a_study_keeps_its_contract_until_it_is_used_up(
    coordinator: CoordinatorFolder, make_study: Make
) -> None:
    study = make_study()
    first, is_new = contract_for(coordinator, study)
    assert is_new
    assert first.sites == ("hospital-1", "hospital-2", "hospital-3")
    assert contract_for(coordinator, study) == (first, False)
    # Another study, or a site that has gone, needs another contract.
    assert contract_for(coordinator, study.with_seed(1))[1]
    _submitted(coordinator, "asked", first.digest, "proposal", bound=3)
    _submitted(coordinator, "unbegun", first.digest, "study", bound=0)
    assert contract_for(coordinator, study) == (first, False)
    _submitted(coordinator, "done", first.digest, "study", bound=2)
    # A contract's time has whole seconds.
    time.sleep(1.1)
    second, is_new = contract_for(coordinator, study)
    assert is_new
    assert second.digest != first.digest
    assert contract_named(coordinator, study, first.digest[:12]) == (first, False)
    (coordinator.sites / "hospital-3.json").unlink()
    third, is_new = contract_for(coordinator, study)
    assert is_new
    assert third.sites == ("hospital-1", "hospital-2")


def _submitted(
    folder: CoordinatorFolder, run: str, contract: str, kind: Any, *, bound: int
) -> None:
    RunOrder("s", 3, contract, kind, "1").save(folder.submissions / f"{run}.json")
    (folder.runs / run).mkdir()
    (folder.runs / run / "result.json").write_text(json.dumps({"num_bound": bound}))


def test_a_contract_of_another_study_or_of_none_is_not_taken(
    coordinator: CoordinatorFolder, make_study: Make
) -> None:
    contract, _ = contract_for(coordinator, make_study())
    with pytest.raises(UsageError, match="another study"):
        contract_named(coordinator, make_study(seed=5), contract.digest)
    with pytest.raises(UsageError, match="0 contracts"):
        contract_named(coordinator, make_study(), "ffff")


def test_wishes_are_kept_and_unknown_or_too_few_sites_refused(
    coordinator: CoordinatorFolder, make_study: Make, bundle: str
) -> None:
    wishes = ContractWishes(("hospital-2", "hospital-1"), 0.5, 4, 100, 300)
    drafted = draft_contract(coordinator, make_study(), wishes)
    assert drafted.sites == ("hospital-1", "hospital-2")
    assert (drafted.num_runs, drafted.max_codes, drafted.max_tokens) == (4, 100, 300)
    assert drafted.deadline_time - drafted.created_time == timedelta(hours=12)
    assert drafted.bundle_sha256 == bundle
    drafted.require_terms()
    with pytest.raises(ConfigError, match="no site elsewhere"):
        draft_contract(coordinator, make_study(), ContractWishes(("elsewhere",)))
    with pytest.raises(ConfigError, match="needs 2 sites"):
        draft_contract(coordinator, make_study(), ContractWishes(("hospital-1",)))
