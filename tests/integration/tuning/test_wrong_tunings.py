"""Each wrong study of fine-tuning is answered by an error that names the setting."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError
from fedehr_simulations.cli.main import app

START = 'name = "wrong"\n[model]\nlayers = 2\nhidden = 16\nheads = 2\n'
TUNED = START + '[finetuning]\ntasks = ["death"]\n'
ADAPTED = TUNED + 'tuning = "lora"\n'
WRONG = {
    "rank_larger_than_the_layer": (ADAPTED + "[lora]\nrank = 17\n", "rank 17.*only 16 wide"),
    "layer_rank_larger": (ADAPTED + "[lora]\nlayer_ranks = [2, 40]\n", "rank 40.*only 16 wide"),
    "rank_of_zero": (ADAPTED + "[lora]\nrank = 0\n", r"lora\.rank.*greater than or equal to 1"),
    "unknown_module": (
        ADAPTED + '[lora]\ntarget_modules = ["q", "query"]\n', "target_modules.*'down'.*'query'",
    ),
    "no_module": (ADAPTED + "[lora]\ntarget_modules = []\n", "target_modules.*at least 1"),
    "module_twice": (ADAPTED + '[lora]\ntarget_modules = ["q", "q"]\n', "names one twice"),
    "layers_miscounted": (ADAPTED + "[lora]\nlayer_ranks = [4]\n", r"layer_ranks has 1.*2 layer"),
    "no_layer": (ADAPTED + "[lora]\nlayer_ranks = [0, 0]\n", "every layer without adapters"),
    "adapters_without_lora": (TUNED + "[lora]\nrank = 4\n", "tuning is not 'lora'"),
    "negative_rate": (ADAPTED + "[lora]\nb_rate_factor = -1\n", r"lora\.b_rate_factor.*greater"),
    "vera_with_b": (
        ADAPTED + '[lora]\nvariant = "vera"\nb_rate_factor = 2\n', "no B to learn",
    ),
    "vera_with_alpha": (ADAPTED + '[lora]\nvariant = "vera"\nalpha = 4\n', "learns its scale"),
    "vera_with_frozen_a": (
        ADAPTED + '[lora]\nvariant = "vera"\naggregation = "frozen_a"\n', "no A and B to learn",
    ),
    "old_moments_for_new_adapters": (
        ADAPTED + 'optimizer_state = "kept"\n[lora]\naggregation = "stacking"\n',
        "leave out .finetuning. optimizer_state",
    ),
    "adapters_at_home_and_aggregated": (
        ADAPTED + 'local_parts = ["adapters"]\n[lora]\naggregation = "alternating"\n',
        "aggregation.*nothing to do",
    ),
    "adapters_at_home_without_any": (TUNED + 'local_parts = ["adapters"]\n', "alone has"),
    "nothing_shared": (
        ADAPTED + 'local_parts = ["heads", "adapters"]\n', "share nothing",
    ),
    "probe_at_home": (TUNED + 'tuning = "probe"\nlocal_parts = ["heads"]\n', "share nothing"),
    "unknown_way": (TUNED + 'tuning = "lorra"\n', r"finetuning\.tuning.*'lora'.*'lorra'"),
    "no_round_for_the_encoder": (TUNED + 'tuning = "gradual"\nrounds = 1\n', "give at least 2"),
    "rates_that_rise_below": (
        TUNED + 'tuning = "gradual"\nlayer_rate_decay = 1.5\n', "layer_rate_decay.*less than",
    ),
    "negative_task_weight": (
        TUNED + '[loss]\ntask_weights = "fixed"\n[tasks.death]\nweight = -1\n',
        r"tasks\.death\.weight.*greater",
    ),
    "unknown_key": (ADAPTED + "[lora]\nranks = 4\n", r"lora\.ranks: unknown key"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_study_is_refused_with_its_reason(tmp_path: Path, name: str) -> None:
    text, told = WRONG[name]
    file = tmp_path / "study.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"(?s){told}"):
        StudyConfig.load(file)


def test_the_command_ends_with_the_code_of_a_wrong_study(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(WRONG["rank_larger_than_the_layer"][0])
    words = ["run", str(file), "--sites", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, ConfigError)
    assert done.exception.exit_code == 3
    assert not (tmp_path / "out").exists()


def test_the_right_studies_beside_them_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    for text in (
        TUNED, ADAPTED, ADAPTED + "[lora]\nrank = 16\n", ADAPTED + "[lora]\nlayer_ranks = [0, 3]\n",
        ADAPTED + '[lora]\nvariant = "vera"\nrank = 64\n',
        ADAPTED + '[lora]\naggregation = "stacking"\n', TUNED + 'tuning = "gradual"\nrounds = 2\n',
    ):  # fmt: skip
        file.write_text(text)
        assert StudyConfig.load(file).name == "wrong"
