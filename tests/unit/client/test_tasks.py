"""Task files and cohorts: what they may say, and how a wrong one is refused."""

import time
from pathlib import Path

import pytest

from fedehr_client.tasks.catalog import builtin_names, read_task, task_file
from fedehr_client.tasks.making import read_tasks
from fedehr_shared.config.code_pattern import check_pattern, matching
from fedehr_shared.config.cohort import CohortConfig
from fedehr_shared.config.section import parse
from fedehr_shared.errors import ConfigError, UsageError

GOOD = """
name = "mine"
description = "mine"
[index]
codes = "HOSPITAL_ADMISSION//.*"
gap_hours = 24
[outcome]
codes = "MEDS_DEATH"
until_end_of = "hospital_stay"
"""


def test_built_in_tasks_are_named_as_their_files() -> None:
    assert {read_task(task_file(name)).name for name in builtin_names()} == set(builtin_names())
    wanted = {"in_hospital_death", "icu_death", "stay_over_3_days", "stay_over_7_days",
              "readmission_30_days", "first_occurrence"}  # fmt: skip
    assert wanted <= set(builtin_names())


def test_an_unknown_task_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"'sepsis'.*icu_death"):
        task_file("sepsis")


def test_a_template_says_how_to_use_it() -> None:
    with pytest.raises(UsageError, match="--show first_occurrence"):
        read_tasks(["first_occurrence"])


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    with pytest.raises(UsageError, match="one name"):
        read_tasks([str(file), str(file)])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "mine"', 'name = "../mine"', "name"),
        ('name = "mine"', 'name = "mine"\nkindd = "binary"', "kindd: unknown key"),
        ("gap_hours = 24", "gap_hours = -1", "index.gap_hours"),
        ("gap_hours = 24", "gap_hours = nan", "index.gap_hours"),
        ("gap_hours = 24", 'gap_hours = 24\nat = "end_of_visit"', "no meaning"),
        ("HOSPITAL_ADMISSION//.*", "(", "index.codes"),
        ("HOSPITAL_ADMISSION//.*", "", "index.codes"),
        ("HOSPITAL_ADMISSION//.*", "(?=x)y", "RE2"),
        ("HOSPITAL_ADMISSION//.*", "a)|(b", "RE2"),
        ("until_end_of", "horizon_hours = 3\nuntil_end_of", "either horizon_hours"),
        ('until_end_of = "hospital_stay"', "", "either horizon_hours"),
        ('until_end_of = "hospital_stay"', 'until_end_of = "the_end"', "outcome.until_end_of"),
        ('codes = "MEDS_DEATH"\n', "", "either codes"),
        ('codes = "MEDS_DEATH"\n', 'codes = "D"\nlonger_than_hours = 3\n', "belong together"),
        ("until_end_of", "grace_hours = 1\nhorizon_hours = 3 #", "grace_hours"),
        ("[outcome]", "[exclude]\nmin_age_years = 9\nmax_age_years = 8\n[outcome]", "exceed"),
        ("[outcome]", '[exclude]\ncodes = ["["]\n[outcome]', "exclude.codes"),
        ("[outcome]", '[censoring]\nuntil = "codes"\n[outcome]', "censoring"),
        ("[outcome]", '[censoring]\ncodes = "X"\n[outcome]', "censoring"),
        ("[outcome]", '[competing]\nlabel = "false"\n[outcome]', "competing.codes"),
    ],
)
def test_a_wrong_setting_is_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in GOOD
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    assert read_task(file).name == "mine"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError, match="wrong setting") as refused:
        read_task(file)
    assert said in str(refused.value)


def test_patterns_match_whole_codes() -> None:
    codes = ["ICU_ADMISSION", "ICU_ADMISSION//x", "XICU_ADMISSION", "b", "ab", "a\nb"]
    assert matching(codes, "ICU_ADMISSION(//.*)?").tolist() == [True, True, *[False] * 4]
    assert matching(codes, "a|b").tolist() == [False, False, False, True, False, False]
    assert not matching(codes, "").any()


def test_a_pattern_that_would_stop_other_engines_costs_nothing() -> None:
    codes = ["a" * 5_000 + "!"] * 200
    began = time.process_time()
    assert not matching(codes, check_pattern("(a+)+")).any()
    assert not matching(codes, check_pattern("(a|aa)+b?")).any()
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"setting": "("}, "setting"),
        ({"setting": "x" * 3_000}, "setting"),
        ({"min_age_years": 66, "max_age_years": 65}, "must not exceed"),
        ({"min_age_years": -1}, "min_age_years"),
        ({"start_date": "1.2.2024"}, "2024-12-31"),
        ({"start_date": "20240101"}, "2024-12-31"),
        ({"start_date": "2024-02-30"}, "2024-12-31"),
        ({"start_date": "2024-02-02", "end_date": "2024-02-01"}, "later than"),
        ({"min_history_hours": -1}, "min_history_hours"),
        ({"hospital": "x"}, "unknown key"),
    ],
)
def test_a_wrong_cohort_is_a_config_error(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(values, CohortConfig, "the study")
    assert said in str(refused.value)


def test_a_cohort_left_out_is_everyone() -> None:
    assert CohortConfig().is_everyone
    assert not CohortConfig(min_history_hours=1).is_everyone
    assert not CohortConfig().bounds_age
    assert CohortConfig(max_age_years=90).bounds_age
