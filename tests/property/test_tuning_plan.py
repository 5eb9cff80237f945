"""Which parameters learn when, and where they go: for every way to tune, at both ends."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.tuning.plan import TuningPlan, is_adapter

TUNINGS = ["probe", "probe_then_full", "full", "gradual", "lora"]


@st.composite
def _studies(draw: st.DrawFn) -> StudyConfig:
    tuning = draw(st.sampled_from(TUNINGS))
    layers = draw(st.integers(1, 5))
    lora: dict[str, Any] = {}
    parts = ["heads"] if tuning != "probe" else []
    if tuning == "lora":
        lora["variant"] = draw(st.sampled_from(["lora", "vera"]))
        lora["rank"] = draw(st.integers(1, 8))
        ranks = st.lists(st.integers(0, 8), min_size=layers, max_size=layers).filter(any)
        lora["layer_ranks"] = draw(st.one_of(st.just([]), ranks))
        lora["rate_factor"] = draw(st.sampled_from([0.1, 1.0, 5.0]))
        if lora["variant"] == "lora":
            lora["b_rate_factor"] = draw(st.sampled_from([1.0, 16.0]))
            kinds = ["average", "frozen_a", "alternating", "reprojection", "stacking"]
            lora["aggregation"] = draw(st.sampled_from(kinds))
        parts = ["heads", "adapters"] if lora.get("aggregation", "average") == "average" else parts
    local: list[str] = draw(st.lists(st.sampled_from(parts), max_size=1)) if parts else []
    return StudyConfig.model_validate({
        "name": "any", "model": {"layers": layers, "hidden": 8, "heads": 1}, "lora": lora,
        "finetuning": {
            "tasks": ["a"], "tuning": tuning, "local_parts": local,
            "rounds": draw(st.integers(2, 13)),
            "probe_share": draw(st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0])),
            "layer_rate_decay": draw(st.sampled_from([0.3, 0.8, 1.0])),
        },
    })  # fmt: skip


def _names(study: StudyConfig) -> list[str]:
    return [name for name, _ in FinetuningModel(study, 5).named_parameters()]


@settings(deadline=None, max_examples=60)
@given(study=_studies())
def test_every_parameter_is_of_the_base_or_travels_or_stays(study: StudyConfig) -> None:
    plan, rounds = TuningPlan.of(study), range(1, study.finetuning.rounds + 1)
    for name in _names(study):
        assert plan.is_base(name) + plan.travels(name) + plan.is_local(name) == 1, name
        rates = [plan.rate_factor(name, number) for number in rounds]
        assert all(rate >= 0 for rate in rates)
        assert plan.is_trained(name) == any(rates)
        assert plan.is_base(name) == (not any(rates) and not plan.is_local(name))
        answered = [plan.is_answered(name, number) for number in rounds]
        # What is answered was asked for, and all that travels is answered at some time.
        assert any(answered) == plan.travels(name)
        if any(rates):
            assert plan.first_round(name) == next(n for n in rounds if rates[n - 1] > 0)


@settings(deadline=None, max_examples=60)
@given(study=_studies())
def test_both_ends_agree(study: StudyConfig) -> None:
    """The site reads its plan from the study that came as text."""
    ours, theirs = TuningPlan.of(study), TuningPlan.of(StudyConfig.from_json(study.to_json()))
    for name in _names(study):
        for number in range(1, study.finetuning.rounds + 1):
            assert ours.rate_factor(name, number) == theirs.rate_factor(name, number)


@settings(deadline=None, max_examples=60)
@given(study=_studies())
def test_the_heads_learn_first_and_the_encoder_from_the_top(study: StudyConfig) -> None:
    plan, tuning = TuningPlan.of(study), study.finetuning
    encoder = [n for n in _names(study) if n.startswith("encoder.") and not is_adapter(n)]
    assert all(plan.first_round(n) == 1 for n in _names(study) if not n.startswith("encoder."))
    if tuning.tuning in {"probe", "lora"}:
        assert not any(plan.is_trained(name) for name in encoder)
        return
    opens = {name: plan.first_round(name) for name in encoder}
    assert min(opens.values()) == plan.num_probe_rounds + 1 <= tuning.rounds
    if tuning.tuning != "gradual":
        assert len(set(opens.values())) == 1
        return
    layers = study.model.layers
    order = [opens["encoder.token_embedding.weight"]]
    order += [opens[f"encoder.blocks.{layer}.q.weight"] for layer in range(layers)]
    assert order == sorted(order, reverse=True)
    assert opens["encoder.norm.weight"] == order[-1]
    last = tuning.rounds
    rates = [plan.rate_factor("encoder.token_embedding.weight", last)]
    rates += [plan.rate_factor(f"encoder.blocks.{layer}.v.weight", last) for layer in range(layers)]
    assert all(rate > 0 for rate in rates)
    assert rates == sorted(rates)
    # Where there are rounds enough, they open one after the other.
    if tuning.rounds - plan.num_probe_rounds > layers:
        assert len(set(order)) == layers + 1


@settings(deadline=None)
@given(study=_studies())
def test_adapters_take_turns_as_the_aggregation_says(study: StudyConfig) -> None:
    plan, lora = TuningPlan.of(study), study.lora
    for name in filter(is_adapter, _names(study)):
        rates = [plan.rate_factor(name, n) for n in range(1, study.finetuning.rounds + 1)]
        high = lora.rate_factor * (lora.b_rate_factor if ".lora_B." in name else 1)
        expected = [high] * len(rates)
        if lora.aggregation == "frozen_a" and ".lora_A." in name:
            expected = [0.0] * len(rates)
        if lora.aggregation == "alternating":
            learns_first = ".lora_B." in name
            expected = [high if (n % 2 == 0) == learns_first else 0.0 for n in range(len(rates))]
        assert rates == expected
