"""The federated arm: the study on Flower's simulation engine, all phases in one simulation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import FederationFolder
from fedehr_simulations.arms.piece import PieceResult
from fedehr_simulations.engine import Progress, run_simulation
from fedehr_simulations.engine.outcome import read_result
from fedehr_simulations.outcome.finished_run import predict_held_out

FEDERATED = "federated"


@dataclass(frozen=True)
class FederatedRun:
    """One simulation, and then its predictions.

    Attributes:
        arm: `federated` or `scratch`.
        study: the study, with its seed.
        federation: the federation folder.
        folder: the coordinator's folder.
        work: scratch of the predictions.
    """

    arm: str
    study: StudyConfig
    federation: Path
    folder: Path
    work: Path

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{self.arm}, seed {self.study.seed}: predictions"

    @property
    def run_folder(self) -> Path:
        """Where the coordinator keeps the run."""
        return self.folder / "runs" / self.arm

    def simulate(self, on_progress: Progress, num_actors: int | None = None) -> dict[str, Any]:
        """Run the study on the engine, which uses all cores.

        Returns:
            The content of `result.json`.

        Raises:
            FedehrError: the run failed.
        """
        return run_simulation(
            self.study,
            self.federation,
            self.folder,
            self.arm,
            on_progress=on_progress,
            num_actors=num_actors,
        )

    def carry_out(self) -> PieceResult:
        """Predictions of the finished run for every site.

        Raises:
            FedehrError: the run did not complete, or left no weights.
        """
        log = self.folder / "logs" / f"{self.arm}.log"
        result = read_result(self.run_folder / "result.json", log)
        predictions = {
            site.name: predict_held_out(self.study, self.run_folder, site, self.work, records=site)
            for site in FederationFolder(self.federation).sites
        }
        loss = tuple(result["pretraining_loss"])
        return PieceResult(self.arm, self.study.seed, predictions, loss)
