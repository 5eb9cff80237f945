"""A coordinator's authority and signer, and a hospital's node, for tests of contracts."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedehr_client.node.folder import NodeFolder
from fedehr_server.network.certificates import create_certificates
from fedehr_server.phases.answer_shapes import answer_shapes
from fedehr_shared import __version__
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.answer_bytes import answer_bytes, run_bytes
from fedehr_shared.contract.signed_contract import SignedContract, signed_bytes
from fedehr_shared.contract.study_contract import StudyContract, utc_text
from fedehr_shared.contract.study_terms import StudyTerms

BUNDLE = "b" * 64
SITES = ("east", "north", "west")


@dataclass(frozen=True)
class ContractOffice:
    """An authority and its signer, in one folder."""

    folder: Path

    @classmethod
    def open(cls, folder: Path) -> "ContractOffice":
        """A new one."""
        folder.mkdir(parents=True)
        create_certificates(folder, "coordinator.example")
        return cls(folder)

    @property
    def authority(self) -> Path:
        """The authority's certificate."""
        return self.folder / "ca.crt"

    def draft(self, study: StudyConfig, **changes: Any) -> StudyContract:
        """A contract of the study for all `SITES`, with some keys changed."""
        tensors = answer_shapes(study)
        num_codes = changes.get("max_codes", 2_000)
        num_tokens = changes.get("max_tokens", 5_000)
        bounds = answer_bytes(study, tensors, num_tokens=num_tokens, num_codes=num_codes)
        now = datetime.now(UTC)
        values: dict[str, Any] = {
            **dict(StudyTerms.of(study)),
            "study": study,
            "fedehr_version": __version__,
            "flwr_version": version("flwr"),
            "bundle_sha256": BUNDLE,
            "coordinator": "coordinator.example",
            "sites": SITES,
            "created": utc_text(now),
            "deadline": utc_text(now + timedelta(days=30)),
            "tensors": tensors,
            "max_codes": num_codes,
            "max_tokens": num_tokens,
            "max_answer_bytes": bounds,
            "max_run_bytes": run_bytes(study, bounds),
            **changes,
        }
        return StudyContract(**values)

    def sign_text(self, text: str) -> SignedContract:
        """Sign whatever text it is."""
        pem = (self.folder / "signer.key").read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        assert isinstance(key, Ed25519PrivateKey)
        certificate = (self.folder / "signer.crt").read_text()
        return SignedContract(text, key.sign(signed_bytes(text)).hex(), certificate)

    def sign(self, study: StudyConfig, **changes: Any) -> SignedContract:
        """The signed contract of a study."""
        return self.sign_text(self.draft(study, **changes).to_json())

    def node(
        self, folder: Path, *, name: str = "north", num_training: int = 60, **ceilings: Any
    ) -> NodeFolder:
        """A hospital's node that knows this authority; its records are a file of splits."""
        records = folder / "records"
        (records / "data").mkdir(parents=True)
        (records / "metadata").mkdir()
        splits = ["train"] * num_training + ["tuning"] * 9 + ["held_out"] * 17
        table = pa.table({"subject_id": list(range(len(splits))), "split": splits})
        pq.write_table(table, records / "metadata" / "subject_splits.parquet")
        (folder / "ca.crt").write_bytes(self.authority.read_bytes())
        node = NodeFolder(folder.absolute())
        write_site_file(node, name=name, **ceilings)
        return node


def write_site_file(node: NodeFolder, *, name: str = "north", **ceilings: Any) -> None:
    """(Re)write the node's site file with these ceilings."""
    lines = [f"{key} = {_in_toml(value)}" for key, value in {"min_cell": 5, **ceilings}.items()]
    node.site_file.write_text(
        f'[site]\nname = "{name}"\nrecords = "records"\n'
        + "[ceilings]\n"
        + "\n".join(lines)
        + '\n[network]\ncoordinator = "coordinator.example:443"\n'
        'root_certificates = "ca.crt"\nprivate_key = "node.key"\n'
    )


def _in_toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)
