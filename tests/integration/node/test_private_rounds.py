"""Rounds with noise at a node's own processes: each is charged before it leaves, what was spent is
in the audit as `fedehr-client budget` tells it, and what is over the ceiling is not trained."""

from typing import Any

import pytest

from fedehr_shared.wire.payload import Payload

pytestmark = pytest.mark.debian

DELTA = 2e-5
"""The site's own: not the study's, which is half as large."""
NUM_ASKED = 3


def _code(answer: Payload) -> str:
    return str(answer.values.get("error", {}).get("code", ""))


def test_no_answer_leaves_before_its_charge_and_the_audit_tells_what_was_spent(
    make_private_site: Any,
) -> None:
    site = make_private_site(subject_epsilon=500.0, subject_delta=DELTA)
    charged: list[tuple[str, int]] = []
    epsilons = [0.0]
    for phase, number in site.requests:
        answer = site.answer(phase, number)
        assert _code(answer) == "", site.hospital.log.read_text()
        if phase != "evaluation":
            charged.append((phase, number))
            assert site.charged == charged
            epsilons.append(site.wait_for_note())
    assert [phase for phase, _ in charged] == ["vocabulary", "pretraining", "finetuning"]
    assert epsilons == sorted(set(epsilons))
    assert site.answer("evaluation", 1).values
    assert site.charged == charged
    assert site.wait_for_note() == epsilons[-1]
    assert {delta for _, _, delta in site.noted} == {DELTA}
    answered = [line for line in site.audit if line["event"] == "round_answered"]
    assert {(line["phase"], line["round"]) for line in answered} == set(site.requests)


def test_what_is_asked_again_and_again_is_charged_and_noted_once(make_private_site: Any) -> None:
    site = make_private_site()
    first = site.answer("vocabulary", 1)
    spent = site.wait_for_note()
    for attempt in range(2, 1 + site.hospital.study.federation.max_attempts):
        assert site.answer("vocabulary", 1, attempt) == first
        _settle(site)
    for _ in range(NUM_ASKED):
        assert _code(site.hospital.answer(site.hospital.end())) == ""
        _settle(site)
    assert site.charged == [("vocabulary", 1)]
    assert site.noted == [(site.hospital.digest, spent, 1e-5)]


def _settle(site: Any) -> None:
    """Whatever is begun after an answer has ended."""
    site.wait_for(lambda: len(site.hospital.children()) <= 1)


def test_a_worker_that_is_stopped_at_once_has_noted_what_was_spent(make_private_site: Any) -> None:
    site = make_private_site()
    assert _code(site.answer("vocabulary", 1)) == ""
    assert site.hospital.stop() == 0
    told = site.budget["subject_epsilon"]["spent"]
    assert told > 0
    assert site.noted == [(site.hospital.digest, told, 1e-5)]


def test_a_reckoning_that_fails_is_logged_and_the_worker_goes_on(make_private_site: Any) -> None:
    site = make_private_site()
    first = site.answer("vocabulary", 1)
    site.wait_for_note()
    whole = site.ledger.read_bytes()
    site.ledger.write_bytes(whole.replace(b'"round": 1', b'"round": 2'))
    assert site.answer("vocabulary", 1, 2) == first
    site.wait_for(lambda: "not in the audit" in site.hospital.log.read_text())
    (line,) = [each for each in site.hospital.log.read_text().splitlines() if "audit:" in each]
    # What is wrong, and where: as any command would say it.
    assert str(site.ledger) in line
    assert "backup" in line
    assert _code(site.answer("pretraining", 1)) == "data"
    site.ledger.write_bytes(whole)
    assert _code(site.answer("pretraining", 1, 2)) == ""
    assert site.charged == [("vocabulary", 1), ("pretraining", 1)]
    site.wait_for_note()
    assert "Traceback" not in site.hospital.log.read_text()


def test_a_study_over_the_ceiling_is_refused_before_any_training(make_private_site: Any) -> None:
    """It would train for hours; a coordinator that leaves out the first phase gets no further."""
    endless = {"pretraining": {"rounds": 1, "steps_per_round": 100_000}}
    site = make_private_site(endless, subject_epsilon=60.0, subject_delta=DELTA)
    assert _code(site.answer("vocabulary", 1)) == "budget"
    assert _code(site.answer("pretraining", 1)) == "budget"
    told = site.budget
    assert told["subject_epsilon"] == {"ceiling": 60.0, "spent": 0.0, "left": 60.0}
    assert (told["num_charges"], site.charged) == (0, [])
    refused = [line for line in site.audit if line["event"] == "round_refused"]
    assert [(line["phase"], line["code"]) for line in refused] == [
        ("vocabulary", "budget"), ("pretraining", "budget"),
    ]  # fmt: skip
    assert not [line for line in site.audit if line["event"] == "round_answered"]
    assert not list(site.hospital.folder.outbox.rglob("*.answer"))
    assert not list(site.work.rglob("*.answer"))
    log = (site.hospital.folder.path / "logs" / "child.log").read_text()
    assert log.count("the site's ceiling is 60 ") == 2


def test_a_round_that_would_pass_the_ceiling_by_now_is_not_trained(make_private_site: Any) -> None:
    """The whole study fitted when it began; the hospital has lowered its ceiling since."""
    site = make_private_site(subject_epsilon=500.0)
    assert _code(site.answer("vocabulary", 1)) == ""
    spent = site.wait_for_note()
    file = site.hospital.folder.site_file
    file.write_text(file.read_text().replace("500.0", repr(spent)))
    assert _code(site.answer("pretraining", 1)) == "budget"
    assert site.charged == [("vocabulary", 1)]
    assert site.wait_for_note() == spent
