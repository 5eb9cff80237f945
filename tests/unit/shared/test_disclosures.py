"""The table of what leaves a site: whole, equal to the pages, and it decides what is sent."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flwr.proto import error_pb2, fleet_pb2, heartbeat_pb2, message_pb2

from fedehr_shared.contract.requests import EndAnswer, ProposalAnswer
from fedehr_shared.privacy.disclosure import Disclosure
from fedehr_shared.privacy.disclosure_page import answers_table, engine_table, notices_table
from fedehr_shared.privacy.disclosures import DISCLOSURES, NOTICES
from fedehr_shared.privacy.engine_disclosures import ENGINE_DISCLOSURES
from fedehr_shared.privacy.key_patterns import KeyPatterns
from fedehr_shared.privacy.not_covered import not_covered
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "privacy.md").read_text()
LOCAL = {
    "mechanism": "local", "noise_multiplier": 1.0, "target_delta": 1e-4, "nominal_subjects": 200,
}  # fmt: skip


def _between(name: str) -> str:
    found = re.search(f"<!-- {name}: begin -->\n(.*)<!-- {name}: end -->", PAGE, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_page_is_the_table_of_the_code() -> None:
    assert _between("answers") == answers_table()
    assert _between("engine") == engine_table()
    assert _between("notices") == notices_table()


def test_the_table_has_what_the_protocol_has_and_nothing_else() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    section = page.split("\n## Answers: site to coordinator\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([a-z, ]+) \| `(.+?)` \| `(.+?)` \|", section, re.MULTILINE)
    documented = {(phase, record, key) for told, record, key in rows for phase in told.split(", ")}
    listed = [
        (phase, one.record, key) for one in DISCLOSURES for key in one.keys for phase in one.phases
    ]
    assert len(set(listed)) == len(listed)
    assert set(listed) == documented


def test_what_a_site_says_of_a_contract_is_in_the_table() -> None:
    answers = (
        ProposalAnswer("a", "waiting"), EndAnswer("a"), ErrorReport("contract", "0123"),
    )  # fmt: skip
    sent = {
        f"{record}.{key}"
        for answer in answers
        for record, values in answer.to_payload().values.items()
        for key in values
    }
    assert sent == {place for one in NOTICES for place in one.places}


@pytest.mark.parametrize(
    "one", [*DISCLOSURES, *NOTICES, *ENGINE_DISCLOSURES], ids=lambda one: one.places[0]
)
def test_an_entry_is_consistent(one: Disclosure) -> None:
    assert one.what
    assert one.reason
    if one.protection == "epsilon":
        pytest.fail("nothing is covered by epsilon in a phase without noise")
    if one.noised == "epsilon":
        assert one.subjects == "training"
    if one.subjects != "none" and one.protection == "public":
        # Such as a digest: it must say why it tells nothing.
        assert len(one.reason) > 20
    assert "|" not in one.what + one.reason + one.unit


def test_a_study_tells_what_its_epsilon_does_not_cover(make_study: Callable[..., Any]) -> None:
    def told(**changes: Any) -> dict[str, tuple[str, tuple[str, ...]]]:
        found = not_covered(make_study(**changes))
        return {place: (one.protection, one.phases) for one in found for place in one.places}

    plain, private = told(), told(privacy={**LOCAL, "phases": ("finetuning",)})
    assert plain["update.<parameter>"] == ("not_covered", ("pretraining", "finetuning"))
    assert private["update.<parameter>"] == ("not_covered", ("pretraining",))
    both = told(privacy=LOCAL)
    assert "update.<parameter>" not in both
    assert both["report.loss"] == ("not_covered", ("pretraining", "finetuning"))
    assert both["codes.code"] == ("cell_rule", ("vocabulary",))
    assert both["<question>.num".join(["metrics.", ""])] == ("cell_rule", ("evaluation",))
    withheld = told(privacy={**LOCAL, "metrics": "withheld"})
    assert {place for place in both if place not in withheld} == {
        place for one in DISCLOSURES if one.is_withheld for place in one.places if place in both
    }
    assert "push-messages.clientapp_runtime_list" in withheld
    noisy = told(vocabulary={"noise_epsilon": 1.0, "noise_delta": 1e-6}, privacy=LOCAL)
    assert "codes.code" not in noisy
    assert "report.num_subjects" in noisy
    unevaluated = told(finetuning={"rounds": 0}, privacy={**LOCAL, "phases": ("pretraining",)})
    assert not any("evaluation" in phases for _, phases in unevaluated.values())


def test_only_a_study_s_own_names_are_known(make_study: Callable[..., Any]) -> None:
    table = KeyPatterns(make_study())
    for phase, record, key in [
        ("finetuning", "metrics", "tuning.death.auroc"),
        ("evaluation", "metrics", "death/sex/female.auprc.low"),
        ("evaluation", "scores.long_stay", "positive.means"),
        ("vocabulary", "codes", "num_units"),
        ("pretraining", "error", "reference"),
    ]:
        assert table.find(phase, record, key) is not None, key
    for phase, record, key in [
        ("finetuning", "metrics", "tuning.sepsis.auroc"),
        ("pretraining", "metrics", "tuning.death.auroc"),
        ("evaluation", "metrics", "death/sex/4711.auprc"),
        ("evaluation", "metrics", "death.median_age"),
        ("evaluation", "scores.4711", "positive.means"),
        ("vocabulary", "codes", "subject_id"),
        ("evaluation", "report", "num_subjects"),
        ("pretraining", "update", "a/path"),
    ]:
        assert table.find(phase, record, key) is None, key


def test_an_answer_is_searched_for_what_the_table_lacks(make_study: Callable[..., Any]) -> None:
    plain = KeyPatterns(make_study())
    withheld = KeyPatterns(make_study(privacy={**LOCAL, "metrics": "withheld"}))
    payload = Payload(
        tensors={"update": b"", "gradients": b""},
        values={"report": {"site": "a", "loss": 1.0, "host": "b"}, "extra": {"x": 1}},
    )
    assert plain.unknown("pretraining", payload) == ["gradients", "report.host", "extra.x"]
    assert "report.loss" in withheld.unknown("pretraining", payload)
    assert "update" in plain.unknown("evaluation", payload)


def test_the_engine_s_table_has_every_field_of_what_its_node_sends() -> None:
    requests = {
        "activate-node": fleet_pb2.ActivateNodeRequest,
        "deactivate-node": fleet_pb2.DeactivateNodeRequest,
        "send-node-heartbeat": heartbeat_pb2.SendNodeHeartbeatRequest,
        "push-messages": fleet_pb2.PushMessagesRequest,
        "push-object": message_pb2.PushObjectRequest,
        "pull-object": message_pb2.PullObjectRequest,
        "confirm-message-received": message_pb2.ConfirmMessageReceivedRequest,
        "metadata": message_pb2.Metadata,
        "error": error_pb2.Error,
    }
    listed: dict[str, set[str]] = {}
    for one in ENGINE_DISCLOSURES:
        listed.setdefault(one.record, set()).update(key.partition(".")[0] for key in one.keys)
    for name, kind in requests.items():
        assert {field.name for field in kind.DESCRIPTOR.fields} == listed[name], name


def test_what_follows_from_sizes_times_or_steps_is_not_called_public() -> None:
    """A length, a clock or a digest beside an answer tells what the answer tells."""
    by_place = {p: one for one in (*DISCLOSURES, *ENGINE_DISCLOSURES) for p in one.places}
    for place in (
        "headers.content-length", "headers.flwr-timestamp", "connection.num_bytes",
        "metadata.created_at", "push-object.object_id", "push-object.object_content",
        "push-messages.message_object_trees.object_id",
        "push-messages.message_object_trees.children",
    ):  # fmt: skip
        assert by_place[place].protection == "not_covered", place
    # A schedule is public, and where a site's steps follow from its records its place is not.
    rate, steps = by_place["metrics.learning_rate"], by_place["report.num_steps"]
    assert (rate.subjects, rate.protection, rate.noised) == (
        steps.subjects, steps.protection, steps.noised,
    )  # fmt: skip


def test_what_a_study_does_not_ask_for_is_not_named_as_told(
    make_study: Callable[..., Any],
) -> None:
    def places(**settings: Any) -> set[str]:
        study = make_study(privacy=LOCAL, **settings)
        return {place for one in not_covered(study) for place in one.places}

    asked = {
        "metrics.calibration.<task>.slope": {"evaluation": {"calibration": "platt"}},
        "metrics.tuning.<task>.loss": {"loss": {"task_weights": "dynamic"}},
    }
    for place, settings in asked.items():
        assert place in places(**settings)
        assert place not in places()
