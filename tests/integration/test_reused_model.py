"""A model that an earlier study pre-trained: taken by its digest, and by nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_server.cli.main import app
from fedehr_server.model_shelf import FOLDER_NAME, ModelShelf
from fedehr_server.network.coordinator import CoordinatorNetworkConfig, create_coordinator
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.errors import ConfigError, DataError, UsageError
from fedehr_simulations.in_process import run_in_process


class Place:
    """One coordinator's shelves, and runs with them."""

    def __init__(self, folder: Path, hospitals: Any) -> None:
        self.folder, self._hospitals = folder, hospitals
        self.vocabularies = VocabularyShelf(folder / "vocabularies")
        self.models = ModelShelf(folder / "models")

    def run(self, study: Any, name: str) -> dict[str, Any]:
        """Run a study over the hospitals."""
        return run_in_process(
            study,
            self._hospitals.sites,
            self.folder / name,
            self.folder / f"{name}-work",
            num_threads=1,
            shelf=self.vocabularies,
            models=self.models,
        )

    def weights(self, name: str, phase: str) -> dict[str, Any]:
        """The last checkpoint of a phase."""
        return dict(
            load_weights(CheckpointFolder(self.folder / name / "checkpoints").latest(phase))
        )


@pytest.fixture(scope="module")
def place(hospitals: Any, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("coordinator"), hospitals)


@pytest.fixture(scope="module")
def pretrained(place: Place, make_study: Callable[..., Any]) -> dict[str, Any]:
    """Digests of what a first study left."""
    result = place.run(make_study(finetuning={"rounds": 1}), "first")
    (vocabulary,) = place.vocabularies.digests()
    return {"model": result["pretrained_model"], "vocabulary": vocabulary}


def _reusing(make_study: Callable[..., Any], pretrained: dict[str, Any], **changes: Any) -> Any:
    return make_study(
        vocabulary={"reuse": pretrained["vocabulary"]},
        pretraining={"reuse": pretrained["model"], "rounds": 0},
        **changes,
    )


def test_fine_tuning_begins_from_the_model(
    place: Place, pretrained: dict[str, Any], make_study: Callable[..., Any]
) -> None:
    study = _reusing(make_study, pretrained, finetuning={"rounds": 1, "tuning": "probe"})
    result = place.run(study, "probe")
    assert result["pretrained_model"] == pretrained["model"]
    assert result["pretraining_loss"] == []
    before, after = place.weights("first", "pretraining"), place.weights("probe", "finetuning")
    encoder = {name for name in after if name.startswith("encoder.")}
    # What travels is rounded for the wire; nothing of the encoder was trained.
    for name in encoder:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-3, atol=1e-6)
    assert any(after[name].any() for name in set(after) - encoder)


def test_a_model_that_is_not_there_ends_the_study_before_a_site_is_asked(
    place: Place, pretrained: dict[str, Any], make_study: Callable[..., Any]
) -> None:
    study = _reusing(make_study, {**pretrained, "model": "0" * 64})
    with pytest.raises(DataError, match="there is no model"):
        place.run(study, "absent")
    assert not (place.folder / "absent-work").exists()


def test_a_model_of_another_size_is_refused(
    place: Place, pretrained: dict[str, Any], make_study: Callable[..., Any]
) -> None:
    study = _reusing(make_study, pretrained, model={"layers": 1, "hidden": 32, "heads": 2})
    with pytest.raises(DataError, match="does not fit"):
        place.run(study, "size")


def test_a_model_of_other_attention_heads_is_refused_before_a_site_is_asked(
    place: Place, pretrained: dict[str, Any], make_study: Callable[..., Any]
) -> None:
    """All tensors have the same shapes, and the encodings would be another net's."""
    study = _reusing(make_study, pretrained, model={"layers": 1, "hidden": 16, "heads": 4})
    with pytest.raises(DataError, match=r"trained with 2 attention heads.*heads = 4"):
        place.run(study, "heads")
    assert not (place.folder / "heads-work").exists()


def test_a_model_without_its_vocabulary_is_no_study(
    pretrained: dict[str, Any], make_study: Callable[..., Any]
) -> None:
    from fedehr_shared.config.section import parse
    from fedehr_shared.config.study import StudyConfig

    values = make_study().model_dump(mode="json")
    values["pretraining"] = {"reuse": pretrained["model"]}
    with pytest.raises(ConfigError, match=r"\[vocabulary\] reuse"):
        parse(values, StudyConfig, "the study")
    values["pretraining"]["rounds"] = 3
    with pytest.raises(ConfigError, match="nothing to pre-train"):
        parse(values, StudyConfig, "the study")


@pytest.mark.parametrize("fault", ["bytes", "weight", "vocabulary", "heads"])
def test_a_changed_file_is_not_used(
    place: Place, pretrained: dict[str, Any], tmp_path: Path, fault: str
) -> None:
    (file,) = (place.folder / "models").glob(f"{pretrained['model']}.safetensors")
    copy = tmp_path / file.name
    weights = load_file(file)
    about = {"vocabulary": pretrained["vocabulary"], "heads": "2"}
    if fault == "weight":
        name = min(weights)
        weights[name] = weights[name] + np.float32(1e-3)
    if fault == "vocabulary":
        about["vocabulary"] = "0" * 64
    if fault == "heads":
        del about["heads"]
    save_file(weights, copy, metadata=about)
    if fault == "bytes":
        copy.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"damaged|changed"):
        ModelShelf(tmp_path).take(pretrained["model"])


def _server(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["model", *map(str, arguments)])


def test_the_commands_list_export_and_import(
    place: Place, pretrained: dict[str, Any], tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        create_coordinator(
            folder, CoordinatorNetworkConfig(host="127.0.0.1", port=18_445, proxy_port=18_446)
        )
    assert "no model yet" in _server("list", folders[0]).output
    ModelShelf(folders[0] / FOLDER_NAME).keep(place.models.take(pretrained["model"]))
    file = tmp_path / "model.safetensors"
    assert _server("export", folders[0], pretrained["model"], file).exit_code == 0
    again = _server("export", folders[0], pretrained["model"], file)
    assert isinstance(again.exception, UsageError)
    assert _server("import", folders[1], file).exit_code == 0
    (told,) = json.loads(_server("list", folders[1], "--json").output)
    assert (told["digest"], told["vocabulary"]) == (pretrained["model"], pretrained["vocabulary"])


@pytest.mark.parametrize("name", ["heads.0.weight", "encoder.token_embedding.weight"])
def test_a_file_that_is_no_encoder_is_not_imported(tmp_path: Path, name: str) -> None:
    kind = np.float32 if name.startswith("heads") else np.float64
    file = tmp_path / "odd.safetensors"
    save_file({name: np.ones(3, kind)}, file, metadata={"vocabulary": "0" * 64})
    folder = tmp_path / "coordinator"
    create_coordinator(
        folder, CoordinatorNetworkConfig(host="127.0.0.1", port=18_445, proxy_port=18_446)
    )
    refused = _server("import", folder, file)
    assert isinstance(refused.exception, DataError)
    assert not (folder / FOLDER_NAME).exists()
