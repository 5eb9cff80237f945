"""Files of variants of fine-tuning: what they change, and what they are refused for."""

from pathlib import Path

import pytest

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError
from fedehr_simulations.recipes import recipe_file
from fedehr_simulations.tuning_trials.noise import UpdateNoise
from fedehr_simulations.tuning_trials.variants import TuningVariant, read_tuning_variants

STUDY = StudyConfig.model_validate(
    {
        "name": "varied",
        "model": {"size": "small"},
        "pretraining": {"rounds": 4, "steps_per_round": 7},
        "finetuning": {"tasks": ["death"], "rounds": 9},
    }
)
BUILT_IN = (
    "tuning-variants", "lora-against-full", "adapter-variants", "aggregation-variants",
    "pooling-variants", "loss-variants",
)  # fmt: skip


def _read(tmp_path: Path, text: str) -> tuple[TuningVariant, ...]:
    path = tmp_path / "variants.toml"
    path.write_text(text, encoding="utf-8")
    return read_tuning_variants(STUDY, path)


def test_a_grid_makes_a_study_of_each_point_and_changes_nothing_else(tmp_path: Path) -> None:
    (variant,) = _read(
        tmp_path,
        '[variants.a]\n"finetuning.dropout" = 0.5\n"model.pooling" = "sum"\n'
        'grid."finetuning.learning_rate" = [0.1, 0.2]\ngrid.loss.label_smoothing = [0.0, 0.25]\n',
    )
    assert variant.changes == {"finetuning.dropout": 0.5, "model.pooling": "sum"}
    assert [candidate.settings for candidate in variant.candidates] == [
        {"finetuning.learning_rate": rate, "loss.label_smoothing": smoothing}
        for rate in (0.1, 0.2)
        for smoothing in (0.0, 0.25)
    ]
    for candidate in variant.candidates:
        expected = STUDY.model_dump()
        expected["finetuning"] |= {
            "dropout": 0.5, "learning_rate": candidate.settings["finetuning.learning_rate"],
        }  # fmt: skip
        expected["model"]["pooling"] = "sum"
        expected["loss"]["label_smoothing"] = candidate.settings["loss.label_smoothing"]
        assert candidate.study.model_dump() == expected


def test_a_variant_without_a_grid_has_one_candidate(tmp_path: Path) -> None:
    plain, lora = _read(tmp_path, '[variants.plain]\n[variants.lora]\nfinetuning.tuning = "lora"')
    assert [c.study for c in plain.candidates] == [STUDY]
    assert plain.noise is None
    # The defaults of the way to tune, not those that the study would have had without it.
    assert lora.candidates[0].study.finetuning.wide is False


def test_settings_of_a_task_may_vary(tmp_path: Path) -> None:
    (variant,) = _read(
        tmp_path, '[variants.a]\n"loss.task_weights" = "fixed"\n"tasks.death.weight" = 3.0'
    )
    assert variant.candidates[0].study.task("death").weight == 3.0


def test_noise_is_no_setting_of_the_study(tmp_path: Path) -> None:
    plain, noisy = _read(
        tmp_path,
        '[variants.a]\n"finetuning.tuning" = "lora"\n'
        '[variants.b]\n"finetuning.tuning" = "lora"\nnoise_multiplier = 0.5\nclip_norm = 2',
    )
    assert noisy.noise == UpdateNoise(0.5, 2.0)
    assert noisy.changes == plain.changes
    assert noisy.candidates == plain.candidates


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"finetuning.raet" = 0.1', r"raet: unknown key"),
        ('"vocabulary.min_cell" = 5', "'vocabulary.min_cell' cannot vary"),
        ('"pretraining.rounds" = 5', "'pretraining.rounds' cannot vary"),
        ('"model.hidden" = 32', "'model.hidden' cannot vary"),
        ('"finetuning.tasks" = ["coin"]', "'finetuning.tasks' cannot vary"),
        ("finetuning = 3", "'finetuning' cannot vary"),
        ("seed = 3", "'seed' cannot vary"),
        ('grid."model.layers" = [1]', "'model.layers' cannot vary"),
        ('grid."finetuning.learning_rate" = 0.1', "a list of one value or more"),
        ('grid."finetuning.learning_rate" = []', "a list of one value or more"),
        ('grid."finetuning.learning_rate" = [0.1, 3.0]', "learning_rate: .*less than"),
        ('"loss.focal_gamma" = 1.0\ngrid."loss.focal_gamma" = [1.0]', "in the grid too"),
        ('"lora.rank" = 4', "tuning is not 'lora'"),
        ("noise_multiplier = 0.5", "given together"),
        ("clip_norm = 0.5", "given together"),
        ("noise_multiplier = -1\nclip_norm = 0.5", "given together"),
        ("noise_multiplier = nan\nclip_norm = 0.5", "given together"),
        ("noise_multiplier = true\nclip_norm = 0.5", "given together"),
        ("noise_multiplier = 0.5\nclip_norm = 0", "given together"),
        ("noise_multiplier = 0.5\nclip_norm = 1", "nothing but the update may leave"),
    ],
)
def test_wrong_variants_are_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        _read(tmp_path, f"[variants.a]\n{text}\n")
    assert "[variants.a]" in str(caught.value)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_variants_are_all_different(name: str) -> None:
    study = StudyConfig.load(recipe_file("tuning"))
    variants = read_tuning_variants(study, recipe_file(name))
    keys = [(c.study.digest, v.noise) for v in variants for c in v.candidates]
    # Some variants share a candidate with another file, none within one, but for noise.
    assert len(set(keys)) == len(keys)


def test_aggregations_are_compared_at_one_bound_and_each_with_its_own_rate() -> None:
    study = StudyConfig.load(recipe_file("tuning"))
    variants = read_tuning_variants(study, recipe_file("aggregation-variants"))
    by_noise: dict[UpdateNoise | None, list[str]] = {}
    for variant in variants:
        by_noise.setdefault(variant.noise, []).append(variant.changes["lora.aggregation"])
        assert len(variant.candidates) > 1
    methods = ["average", "frozen_a", "alternating", "reprojection", "stacking"]
    assert list(by_noise.values()) == [methods] * 3
    assert len({noise.clip_norm for noise in by_noise if noise is not None}) == 1
