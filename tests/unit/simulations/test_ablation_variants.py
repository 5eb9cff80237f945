"""Files of variants: what they change, and what they are refused for."""

from pathlib import Path

import pytest

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError
from fedehr_simulations.ablation.passes import passes_of
from fedehr_simulations.ablation.variants import Variant, read_variants
from fedehr_simulations.recipes import recipe_file

STUDY = StudyConfig.model_validate(
    {
        "name": "varied",
        "model": {"size": "small"},
        "pretraining": {"rounds": 4, "steps_per_round": 7},
        "finetuning": {"tasks": ["death"], "rounds": 9},
    }
)


def _read(tmp_path: Path, text: str) -> tuple[Variant, ...]:
    path = tmp_path / "variants.toml"
    path.write_text(text, encoding="utf-8")
    return read_variants(STUDY, path)


def test_a_variant_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    plain, changed = _read(
        tmp_path,
        '[variants.plain]\n[variants.low]\n"masking.rate" = 0.15\nmasking.hide_copies = false\n',
    )
    assert plain.study == STUDY.model_copy(
        update={"finetuning": STUDY.finetuning.model_copy(update={"rounds": 0})}
    )
    assert changed.changes == {"masking.rate": 0.15, "masking.hide_copies": False}
    told = changed.study.model_dump()
    expected = plain.study.model_dump()
    expected["masking"] |= {"rate": 0.15, "hide_copies": False}
    assert told == expected
    assert not changed.pooled


def test_other_ways_to_say_the_same_step_back(tmp_path: Path) -> None:
    epochs, size, both = _read(
        tmp_path,
        '[variants.a]\n"pretraining.epochs_per_round" = 2.0\n'
        '[variants.b]\n"model.size" = "tiny"\n[variants.c]\nrecords = "pooled"\n',
    )
    assert epochs.study.pretraining.epochs_per_round == 2.0
    assert size.study.model.layers == 2
    assert both.pooled
    assert both.changes == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[variants.a]\n"masking.raet" = 0.1',
            r"\[variants.a\] has 1 wr.*\n.*raet: unknown key",
        ),
        ('[variants.a]\n"masking.rate" = 1.5', r"masking.rate: .*less than 1"),
        ('[variants.a]\n"vocabulary.min_cell" = 5', "'vocabulary.min_cell' cannot vary"),
        ('[variants.a]\n"sequence.context" = 64', "'sequence.context' cannot vary"),
        ('[variants.a]\n"finetuning.rounds" = 2', "'finetuning.rounds' cannot vary"),
        ("[variants.a]\nseed = 3", "'seed' cannot vary"),
        ('[variants.a]\n"masking" = 3', "'masking' cannot vary"),
        ("[variants.a]\nmasking.rate.x = 3", "'masking.rate.x' cannot vary"),
        ('[variants.a]\nrecords = "some"', "'federated' or 'pooled'"),
        ('[variants."../up"]', "small letters"),
        ("[variants]\na = 3", "is no table"),
        ("variants = 3", r"tables \[variants.NAME\]"),
        ("[variant.a]", r"tables \[variants.NAME\] alone \(found variant\)"),
        ("", r"tables \[variants.NAME\]"),
        ("[variants.a\n", "not valid TOML"),
        (
            '[variants.a]\n"pretraining.epochs_per_round" = 1.0\n"pretraining.steps_per_round" = 3',
            "not both",
        ),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        _read(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_variants(STUDY, tmp_path / "none.toml")
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_variants(STUDY, tmp_path / "latin")


def test_the_built_in_variants_differ_and_learn_from_each_record_equally_often() -> None:
    study = StudyConfig.load(recipe_file("ablation"))
    variants = read_variants(study, recipe_file("ablation-variants"))
    trained = [variant for variant in variants if variant.study.pretraining.rounds]
    assert len(variants) == len(trained) + 1
    assert {passes_of(variant.study.pretraining) for variant in trained} == {12.0}
    digests = {(variant.study.digest, variant.pooled) for variant in variants}
    assert len(digests) == len(variants)
    rates = {variant.study.masking.rate for variant in variants}
    assert rates == {0.15, 0.30, 0.40}
    assert {variant.study.masking.whole_visit_share for variant in variants} == {0.0, 0.2}
    assert {variant.study.pretraining.optimizer_state for variant in variants} == {
        "averaged", "kept", "fresh",
    }  # fmt: skip
