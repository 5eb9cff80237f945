"""The ServerApp: reads a stored study, conducts it over Flower's grid, writes its result.

The run's configuration holds names and numbers only. Where the coordinator keeps its files
stands in the environment, since the engine shows the run's configuration to every node.
"""

import logging
import os
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedehr_server.grid import GridTransport
from fedehr_server.model_shelf import FOLDER_NAME as MODELS_FOLDER
from fedehr_server.model_shelf import ModelShelf
from fedehr_server.node_register import NodeRegister
from fedehr_server.proposing import propose_to_nodes
from fedehr_server.rounds.agreement import Agreement
from fedehr_server.run_order import RunOrder
from fedehr_server.running import run_study
from fedehr_server.vocabulary_shelf import FOLDER_NAME, VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import ConfigError

log = logging.getLogger("fedehr.server")

COORDINATOR_FOLDER = "FEDEHR_COORDINATOR_FOLDER"

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Conduct the study that the run's configuration names."""
    folder = os.environ.get(COORDINATOR_FOLDER)
    if not folder:
        raise ConfigError(f"{COORDINATOR_FOLDER} is not set. Use fedehr-server or fedehr-sim.")
    digest, run = str(context.run_config["study"]), str(context.run_config["run"])
    if not (digest.isalnum() and run and "/" not in run and not run.startswith(".")):
        raise ConfigError("the run's configuration names no valid study and run.")
    study = StudyConfig.from_json((Path(folder) / "studies" / f"{digest}.json").read_text())
    if study.digest != digest:
        raise ConfigError("the stored study is not the one that its digest names. Submit again.")
    order = RunOrder.load(Path(folder) / "state" / "submissions" / f"{run}.json")
    agreement = _agreement(Path(folder), study, order)
    run_folder = Path(folder) / "runs" / run
    if order is not None and order.kind == "proposal":
        propose_to_nodes(agreement, GridTransport(grid), run_folder)
        return
    num_sites = int(context.run_config["num-sites"])
    shelf = VocabularyShelf(Path(folder) / FOLDER_NAME)
    models = ModelShelf(Path(folder) / MODELS_FOLDER)
    run_study(
        study,
        GridTransport(grid),
        run_folder,
        num_sites,
        shelf=shelf,
        models=models,
        agreement=agreement,
    )


def _agreement(folder: Path, study: StudyConfig, order: RunOrder | None) -> Agreement:
    """A coordinator's register, and the contract that the run was submitted under."""
    register = NodeRegister(folder / "sites")
    if order is None or not order.contract:
        return Agreement(register=register)
    signed = SignedContract.load(folder / "contracts" / f"{order.contract}.json")
    contract = StudyContract.from_json(signed.text)
    if contract.digest != order.contract or contract.study != study:
        raise ConfigError("the stored contract is not the one of this study. Submit again.")
    return Agreement(contract, signed, register)
