"""`ContractShelf`: the contracts that a coordinator has signed, and which is good for a run."""

from datetime import UTC, datetime
from pathlib import Path

from fedehr_server.bundle import bundle_sha256
from fedehr_server.network.coordinator import CoordinatorFolder
from fedehr_server.network.run_result import read_result
from fedehr_server.network.signer import Signer
from fedehr_server.network.sites import SiteRegister
from fedehr_server.progress import write_text
from fedehr_server.run_order import RunOrder
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import ContractError, UsageError


class ContractShelf:
    """`contracts/` of one coordinator folder."""

    def __init__(self, folder: CoordinatorFolder) -> None:
        self._folder = folder

    def sign(self, contract: StudyContract) -> SignedContract:
        """Sign a contract and keep it.

        Raises:
            ConfigError: it cannot be signed.
        """
        signed = Signer(self._folder).sign(contract)
        self._folder.contracts.mkdir(mode=0o700, exist_ok=True)
        write_text(self.file_of(contract.digest), signed.to_json() + "\n")
        return signed

    def file_of(self, digest: str) -> Path:
        """Where a contract lies: what the coordinator may also send by mail."""
        return self._folder.contracts / f"{digest}.json"

    def take(self, digest: str) -> StudyContract:
        """A contract by its digest, or by how that begins.

        Raises:
            UsageError: there is none, or several begin so.
            ContractError: it is of another version of fedehr.
        """
        found = [file.stem for file in self._files() if file.stem.startswith(digest)]
        if len(found) != 1:
            raise UsageError(
                f"{len(found)} contracts begin with {digest!r}. Name one of those in "
                f"{self._folder.contracts} by more of its digits."
            )
        return StudyContract.from_json(SignedContract.load(self.file_of(found[0])).text)

    def newest_for(self, study: StudyConfig, bundle: Path | None = None) -> StudyContract | None:
        """The newest contract of a study that a run can be under now; None: sign one.

        Args:
            study: the study.
            bundle: another bundle's `pyproject.toml`; the installed one by default.
        """
        found = [contract for contract in self._readable() if contract.study == study]
        found = [contract for contract in found if self._is_good(contract)]
        if not found:
            return None
        sha256 = bundle_sha256(bundle)
        same = [contract for contract in found if contract.bundle_sha256 == sha256]
        return max(same, key=lambda contract: (contract.created, contract.digest), default=None)

    def num_runs_begun(self, digest: str) -> int:
        """Runs under a contract that a site may have bound to it."""
        orders = {
            file.stem: RunOrder.load(file)
            for file in sorted(self._folder.submissions.glob("*.json"))
        }
        runs = [
            run
            for run, order in orders.items()
            if order is not None and order.kind == "study" and order.contract == digest
        ]
        return sum(self._has_begun(run) for run in runs)

    def _has_begun(self, run: str) -> bool:
        result = read_result(self._folder.runs / run)
        return result is None or bool(result.get("num_bound"))

    def _is_good(self, contract: StudyContract) -> bool:
        registered = SiteRegister(self._folder).names()
        try:
            contract.require_in_time(datetime.now(UTC))
        except ContractError:
            return False
        is_left = self.num_runs_begun(contract.digest) < contract.num_runs
        return is_left and set(contract.sites) <= set(registered)

    def _readable(self) -> list[StudyContract]:
        found: list[StudyContract] = []
        for file in self._files():
            try:
                found.append(StudyContract.from_json(SignedContract.load(file).text))
            except ContractError:
                # Of an earlier version: good for no run of this one.
                continue
        return found

    def _files(self) -> list[Path]:
        return sorted(self._folder.contracts.glob("*.json"))
