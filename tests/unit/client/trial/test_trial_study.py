"""The rehearsal's study and site file: within the site's ceilings, and read back as written."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_client.node.folder import NodeFolder, create_node
from fedehr_client.trial.phase_figures import PhaseFigures
from fedehr_client.trial.toml_text import toml_text
from fedehr_client.trial.trial_node import SET_ASIDE, create_trial_node
from fedehr_client.trial.trial_study import default_recipe, for_one_site
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = (
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
)
VALUES = st.recursive(
    SCALARS | st.lists(SCALARS, max_size=3),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_what_is_written_as_toml_reads_back(values: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(values)) == values


def test_what_is_none_is_left_out() -> None:
    assert tomllib.loads(toml_text({"a": None, "b": {"c": None, "d": 1}})) == {"b": {"d": 1}}


@pytest.mark.parametrize("name", ["demo-lora", "eicu", "privacy", "tuning", "ablation"])
def test_a_real_study_keeps_its_digest(name: str, tmp_path: Path) -> None:
    recipe = Path(__file__).parents[4] / "simulations" / "recipes" / f"{name}.toml"
    study = StudyConfig.load(recipe)
    file = tmp_path / "study.toml"
    file.write_text(toml_text(study.model_dump(mode="json")), encoding="utf-8")
    assert StudyConfig.load(file).digest == study.digest


@pytest.fixture
def node(tmp_path: Path, hospitals: Any) -> NodeFolder:
    return create_node(
        tmp_path / "node", "north", hospitals.sites[0].path, "fedehr.example.org:443", None
    )


def _set(node: NodeFolder, before: str, after: str) -> None:
    text = node.site_file.read_text()
    assert before in text
    node.site_file.write_text(text.replace(before, after))


def test_the_default_recipe_is_every_default(node: NodeFolder) -> None:
    study = default_recipe(node.config())
    # Not those with another kind of outcome, for which a default says nothing.
    assert study.finetuning.tasks == ("coin", "death", "long_stay")
    plain = StudyConfig.model_validate(
        {"name": "rehearsal", "finetuning": {"tasks": study.finetuning.tasks}}
    )
    assert study == plain


def test_the_default_recipe_keeps_within_the_ceilings(node: NodeFolder, hospitals: Any) -> None:
    task = hospitals.sites[0].tasks[0]
    _set(node, '#tasks = ["in_hospital_death"]', f'tasks = ["{task}"]')
    _set(node, "min_cell = 11", "min_cell = 20")
    _set(node, "#subject_epsilon = 8.0", "subject_epsilon = 3.0")
    _set(node, "#require_privacy = false", "require_privacy = true")
    study = default_recipe(node.config())
    assert study.finetuning.tasks == (task,)
    assert study.vocabulary.min_cell == 20
    assert study.privacy.mechanism == "local"
    assert study.privacy.target_epsilon == 3.0


def test_a_site_without_labels_rehearses_pretraining(node: NodeFolder) -> None:
    _set(node, '#tasks = ["in_hospital_death"]', 'tasks = ["none_of_them"]')
    study = default_recipe(node.config())
    assert study.finetuning.rounds == 0
    assert study.pretraining.rounds > 0


def test_a_study_is_cut_down_and_made_for_one_site(make_study: Any) -> None:
    whole = make_study(pretraining={"rounds": 7}, finetuning={"rounds": 1})
    small = for_one_site(whole, 3)
    assert (small.pretraining.rounds, small.finetuning.rounds) == (3, 1)
    assert small.federation.min_sites == small.vocabulary.min_sites == 1
    assert small.model == whole.model


def test_what_cannot_be_cut_down_is_said(make_study: Any) -> None:
    whole = make_study(finetuning={"rounds": 4, "tuning": "gradual"})
    with pytest.raises(ConfigError, match="--rounds"):
        for_one_site(whole, 1)


@pytest.mark.parametrize("keeps_studies", [False, True])
def test_the_trial_node_differs_where_it_says_so_alone(
    node: NodeFolder, tmp_path: Path, coordinator_certificate: Path, *, keeps_studies: bool
) -> None:
    _set(node, "hold = false", "hold = true")
    _set(node, "#allowed_hours = []", 'allowed_hours = ["22:00-06:00"]')
    _set(node, '#studies = ["sepsis-2027"]', 'studies = ["sepsis-2027"]')
    _set(node, "#http_port = 0", "http_port = 9999")
    _set(node, "#max_bytes_per_day = 2_000_000_000", "max_bytes_per_day = 5_000")
    real = node.config()
    made = create_trial_node(
        tmp_path / "trial", real, "127.0.0.1:8443", coordinator_certificate,
        keeps_studies=keeps_studies,
    )  # fmt: skip
    own = made.config()
    assert own.site.records == real.site.records
    assert own.site.work == made.path / "work"
    assert own.network.private_key == made.private_key
    assert made.private_key.read_bytes() != node.private_key.read_bytes()
    left = set()
    for section in ("site", "compute", "ceilings", "outbox", "schedule", "limits", "monitoring"):
        before, after = getattr(real, section), getattr(own, section)
        for key in type(before).model_fields:
            if getattr(before, key) != getattr(after, key):
                left.add(f"{section}.{key}")
    said = {key for key in SET_ASIDE if key != "monitoring"}
    said |= {"site.work", "monitoring.http_port"}
    assert left == (said - {"ceilings.studies"} if keeps_studies else said)


@pytest.fixture
def coordinator_certificate(tmp_path: Path) -> Path:
    import subprocess

    file = tmp_path / "ca.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=test", "-keyout", tmp_path / "ca.key", "-out", file],
        check=True, capture_output=True,
    )  # fmt: skip
    return file


def test_a_whole_study_is_reckoned_from_the_first_round_and_the_later_ones() -> None:
    two = PhaseFigures(2, first_seconds=20.0, later_seconds=3.0, answer_bytes=1, total_bytes=2)
    assert two.seconds_of(1) == 20.0
    assert two.seconds_of(10) == 20.0 + 9 * 3.0
    one = PhaseFigures(1, first_seconds=20.0, later_seconds=None, answer_bytes=1, total_bytes=1)
    assert one.seconds_of(10) == 200.0
