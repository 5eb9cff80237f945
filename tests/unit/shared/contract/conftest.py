"""A coordinator's keys and a contract that they sign."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fedehr_server.network.certificates import create_certificates
from fedehr_shared import __version__
from fedehr_shared.contract.answer_bytes import answer_bytes, run_bytes
from fedehr_shared.contract.signed_contract import SignedContract, signed_bytes
from fedehr_shared.contract.study_contract import StudyContract, utc_text
from fedehr_shared.contract.study_terms import StudyTerms

NOW = datetime.now(UTC).replace(microsecond=0)
TENSORS = {"pretraining": {"a": (0, 8)}, "finetuning": {"heads.0.bias": (1,)}}


@dataclass(frozen=True)
class Keys:
    """The folder `pki/` of a coordinator."""

    folder: Path

    @property
    def authority(self) -> bytes:
        return (self.folder / "ca.crt").read_bytes()

    def sign(self, text: str, name: str = "signer", certificate: str = "") -> SignedContract:
        key: Any = load_pem_private_key((self.folder / f"{name}.key").read_bytes(), None)
        signature = key.sign(signed_bytes(text)).hex()
        pem = certificate or (self.folder / f"{name}.crt").read_text()
        return SignedContract(text, signature, pem)


def new_contract(study: Any, **changes: Any) -> StudyContract:
    bounds = answer_bytes(study, TENSORS, num_tokens=1_000, num_codes=500)
    values = {
        **dict(StudyTerms.of(study)),
        "study": study,
        "fedehr_version": __version__,
        "flwr_version": "1.41.0",
        "bundle_sha256": "0" * 64,
        "coordinator": "localhost",
        "sites": ("alpha", "beta"),
        "created": utc_text(NOW),
        "deadline": utc_text(NOW + timedelta(days=3)),
        "tensors": TENSORS,
        "max_codes": 500,
        "max_tokens": 1_000,
        "max_answer_bytes": bounds,
        "max_run_bytes": run_bytes(study, bounds),
    }
    return StudyContract.model_validate(values | changes)


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def draft(make_study: Callable[..., Any]) -> Callable[..., StudyContract]:
    """`draft(study=None, **fields)`: a contract, with some of its fields changed."""

    def make(study: Any = None, **changes: Any) -> StudyContract:
        return new_contract(make_study() if study is None else study, **changes)

    return make


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("pki")
    create_certificates(folder, "localhost")
    return Keys(folder)


@pytest.fixture(scope="session")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Of another coordinator."""
    folder = tmp_path_factory.mktemp("other-pki")
    create_certificates(folder, "localhost")
    return Keys(folder)
