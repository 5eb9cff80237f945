"""Every verdict that can be built matches its schema and comes back unchanged."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.errors import FedehrError
from fedehr_simulations.verdict.machine import Machine
from fedehr_simulations.verdict.membership import (
    FIGURES,
    AttackBound,
    MembershipAttack,
    RatePoint,
)
from fedehr_simulations.verdict.privacy import (
    NotCoveredNumber,
    PrivacyStatement,
    SpentPrivacy,
    WithVocabulary,
)
from fedehr_simulations.verdict.result import (
    METRICS,
    ArmResult,
    Interval,
    Scores,
    SeedScores,
    TaskResult,
)
from fedehr_simulations.verdict.verdict import (
    Comparison,
    RoundBytes,
    SiteSummary,
    StudyName,
    Traffic,
    Verdict,
    check_schema,
)

text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
number = st.floats(-1e6, 1e6)
count = st.integers(0, 10**9)
share = st.floats(0, 1)
whole = st.tuples(number, number, number).map(
    lambda v: Interval(value=v[0], low=min(v[1:]), high=max(v[1:]))
)
intervals = whole | text.map(Interval.withheld)
scores = {
    "auroc": intervals,
    "auprc": intervals,
    "brier": intervals,
    "calibration_error": st.none() | intervals,
    "calibration_slope": st.none() | intervals,
}
counted = {"num": count, "num_positive": count}
uncounted = {"num": st.none(), "num_positive": st.none() | count, "reason": text}
site_scores = st.builds(Scores, **counted, **scores) | st.builds(Scores, **uncounted, **scores)
series = st.lists(number | st.none(), max_size=3).map(tuple)
detail = {
    "per_site": st.dictionaries(text, site_scores, max_size=2),
    "per_seed": st.builds(SeedScores, auroc=series, auprc=series, brier=series),
    "oracle": st.none() | share,
    "worst_site": st.none() | text,
}
tasks = st.builds(TaskResult, **counted, **scores, **detail) | st.builds(
    TaskResult, **uncounted, **scores, **detail
)
arms = st.builds(ArmResult, tasks=st.dictionaries(text, tasks, max_size=2), pretraining_loss=series)
rounds = st.builds(RoundBytes, phase=text, round=st.integers(1, 99), up=count, down=count)
bounds = st.builds(AttackBound, epsilon=st.floats(0, 100), delta=share)
points = st.builds(RatePoint, fpr=share, tpr=share, greatest_tpr=st.none() | share)
told = {
    "arm": text,
    "model": st.sampled_from(["finetuned", "pretrained"]),
    "attack": st.sampled_from(["loss", "lira"]),
    "num_shadows": count,
    "curve": st.lists(points, max_size=2).map(tuple),
    "bound": st.none() | bounds,
    **dict.fromkeys(FIGURES, intervals),
}
attacks = st.builds(MembershipAttack, num_members=count, num_non_members=count, **told) | st.builds(
    MembershipAttack, num_members=st.none(), num_non_members=st.none() | count, reason=text, **told
)
epsilons = dict.fromkeys(("epsilon", "optimistic", "pessimistic"), st.floats(0, 1e6))
both = st.none() | st.builds(WithVocabulary, delta=share, **epsilons)
spent = st.builds(SpentPrivacy, num_rounds=count, with_vocabulary=both, **epsilons)
uncovered = st.builds(
    NotCoveredNumber,
    what=text,
    places=st.lists(text, max_size=2).map(tuple),
    phases=st.lists(text, max_size=2).map(tuple),
    subjects=text,
    protection=st.sampled_from(["cell_rule", "not_covered"]),
    reason=text,
)
statements = st.builds(
    PrivacyStatement,
    unit=st.sampled_from(["subject", "site"]),
    neighbors=st.just("add_or_remove_one"),
    epsilon=st.floats(0, 1e6),
    delta=share,
    phases=st.lists(text, max_size=2).map(tuple),
    words=text,
    not_covered=st.lists(uncovered, max_size=2).map(tuple),
    spent=st.dictionaries(text, spent, max_size=2),
)
verdicts = st.builds(
    Verdict,
    privacy=st.none() | statements,
    study=st.builds(StudyName, name=text, digest=st.from_regex(r"\A[0-9a-f]{64}\Z")),
    machine=st.builds(
        Machine,
        cpu=text,
        num_cores=st.integers(1, 512),
        memory_bytes=st.integers(1, 2**50),
        gpu=st.none() | text,
        platform=text,
    ),
    versions=st.dictionaries(text, text, max_size=3),
    seconds=st.floats(0, 1e9),
    min_cell=st.integers(1, 100),
    sites=st.lists(
        st.builds(
            SiteSummary,
            name=text,
            num_subjects=st.none() | count,
            num_events=st.none() | count,
            unknown_code_share=st.none() | share,
        ),
        max_size=3,
    ).map(tuple),
    arms=st.dictionaries(text, arms, max_size=2),
    bytes=st.builds(
        Traffic,
        up_per_site=st.dictionaries(text, count, max_size=2),
        down_per_site=st.dictionaries(text, count, max_size=2),
        per_round=st.lists(rounds, max_size=2).map(tuple),
    ),
    subject_epsilon=st.dictionaries(text, st.none() | st.floats(0, 100), max_size=2),
    comparisons=st.lists(
        st.builds(
            Comparison,
            task=text,
            metric=st.sampled_from(METRICS),
            arm=text,
            reference=text,
            difference=intervals,
            num_seeds=st.integers(1, 9),
        ),
        max_size=2,
    ).map(tuple),
    attacks=st.lists(attacks, max_size=2).map(tuple),
)


@settings(max_examples=100, deadline=None)
@given(verdict=verdicts)
def test_every_verdict_matches_the_schema_and_comes_back(verdict: Verdict) -> None:
    value = json.loads(verdict.to_json())
    check_schema(value)
    assert Verdict.model_validate(value) == verdict


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if isinstance(value, dict) else []
    for key, child in children if isinstance(value, dict | list) else ():
        if isinstance(child, dict | list):
            found += _places(child, (*path, key))
    return found


# Objects whose keys are names that the study chose; everywhere else keys are fixed.
FREE_KEYS = {
    "arms", "tasks", "per_site", "versions", "up_per_site", "down_per_site", "subject_epsilon",
    "base_per_site",
}  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(verdict=verdicts, data=st.data())
def test_no_object_takes_a_key_that_the_schema_does_not_name(
    verdict: Verdict, data: st.DataObject
) -> None:
    value = json.loads(verdict.to_json())
    # A name may itself read "tasks"; then its last part says nothing about the object.
    fixed = [place for place in _places(value) if not place or place[-1] not in FREE_KEYS]
    broken = copy.deepcopy(value)
    target = broken
    for key in data.draw(st.sampled_from(fixed)):
        target = target[key]
    target["surplus"] = 1
    with pytest.raises(FedehrError, match="does not match"):
        check_schema(broken)
