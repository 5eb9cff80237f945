"""What no round trains is sent to a site once; rounds carry the rest, both ways."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_client.answers.base_store import BaseStore
from fedehr_shared.errors import BaseMissingError, WireError
from fedehr_shared.model.digest import digest_of
from fedehr_shared.wire.codec.record import decode
from fedehr_shared.wire.work import Work, WorkId

LORA: dict[str, Any] = {"finetuning": {"tuning": "lora", "rounds": 3}, "lora": {"rank": 2}}
FOLDING = ("reprojection", "stacking")


def _lora(make_study: Callable[..., Any], aggregation: str = "average") -> Any:
    return make_study(
        **{**LORA, "lora": {"rank": 2, "aggregation": aggregation}}, pretraining={"rounds": 1}
    )


def _down(run: Any, phase: str) -> list[Any]:
    return [m for m in run.messages if m.direction == "down" and m.phase == phase]


def _names(sent: Any, record: str) -> set[str]:
    return set(decode(sent.payload.tensors[record]))


@pytest.fixture(scope="module")
def undisturbed(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path_factory: Any
) -> Callable[[str], Any]:
    """A finished study with adapters, by its way of aggregating them."""
    done: dict[str, Any] = {}

    def run(aggregation: str) -> Any:
        if aggregation not in done:
            folder = tmp_path_factory.mktemp(aggregation)
            study = _lora(make_study, aggregation)
            done[aggregation] = run_study_in_process(study, hospitals.sites, folder)
        return done[aggregation]

    return run


def test_the_base_goes_to_each_site_once_and_rounds_carry_adapters_and_heads(
    undisturbed: Callable[[str], Any],
) -> None:
    run = undisturbed("average")
    requests = _down(run, "finetuning") + _down(run, "evaluation")
    with_base = [(m.phase, m.round, m.node) for m in requests if "base" in m.payload.tensors]
    assert with_base == [("finetuning", 1, node) for node in range(3)]
    answers = [m for m in run.messages if m.direction == "up" and m.phase == "finetuning"]
    for sent, record in [(m, "model") for m in requests] + [(m, "update") for m in answers]:
        names = _names(sent, record)
        assert {n for n in names if n.startswith("encoder.")} == {n for n in names if ".lora_" in n}
        assert any(n.startswith("heads.") for n in names)
        assert any(".lora_A." in n for n in names)
    assert not any(".lora_" in name for name in _names(requests[0], "base"))


def test_the_bytes_of_the_first_broadcast_are_told_apart(
    undisturbed: Callable[[str], Any],
) -> None:
    run = undisturbed("average")
    told = run.result["bytes"]
    first, *later = [entry for entry in told["per_round"] if entry["phase"] == "finetuning"]
    base = sum(len(m.payload.tensors.get("base", b"")) for m in _down(run, "finetuning"))
    assert first["base"] == base == sum(told["base_per_site"].values()) > 0
    assert all(entry["base"] == 0 for entry in later)
    requests = [m.payload for m in _down(run, "finetuning") if m.round == 1]
    vocabularies = sum(len(request.values["work"]["vocabulary"]) for request in requests)
    # Beside the base and the vocabulary the first round's requests are as all others.
    assert first["down"] - base - vocabularies == pytest.approx(later[0]["down"], rel=0.1)


def test_without_adapters_every_round_carries_everything(finished_study: Any) -> None:
    assert not any("base" in m.payload.tensors for m in finished_study.messages)
    assert sum(finished_study.result["bytes"]["base_per_site"].values()) == 0


def _lost(work: Path) -> None:
    shutil.rmtree(work / "base")


def _cut(work: Path) -> None:
    for file in (work / "base").iterdir():
        file.write_bytes(file.read_bytes()[:-7])


def _flipped(work: Path) -> None:
    for file in (work / "base").iterdir():
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)


@pytest.mark.parametrize(
    ("aggregation", "disturb"),
    [("average", _lost), ("average", _cut), ("average", _flipped), ("stacking", _lost)],
)
def test_a_site_that_lost_its_base_is_sent_it_again_and_no_other_is(  # noqa: PLR0917
    make_study: Any,
    hospitals: Any,
    run_study_in_process: Any,
    undisturbed: Callable[[str], Any],
    tmp_path: Path,
    aggregation: str,
    disturb: Callable[[Path], None],
) -> None:
    def alter(sent: Any) -> list[Any]:
        # The last site's answer of the first round; the second site answered before.
        if (sent.phase, sent.round, sent.node) == ("finetuning", 1, 2):
            disturb(tmp_path / "work" / "hospital-2")
        return [sent.payload]

    study = _lora(make_study, aggregation)
    run = run_study_in_process(study, hospitals.sites, tmp_path, alter=alter)
    again = [
        (m.round, m.attempt, m.node)
        for m in _down(run, "finetuning")
        if "base" in m.payload.tensors and m.round > 1
    ]
    assert again == [(2, 2, 1)]
    codes = [m.payload.values["error"]["code"] for m in run.messages if "error" in m.payload.values]
    assert codes == ["base_missing"]
    before = undisturbed(aggregation).latest_weights
    after = run.latest_weights
    assert {n: w.tobytes() for n, w in after.items()} == {n: w.tobytes() for n, w in before.items()}


@pytest.mark.parametrize("aggregation", FOLDING)
def test_what_a_round_folds_goes_to_the_sites_as_factors(
    undisturbed: Callable[[str], Any], aggregation: str
) -> None:
    run = undisturbed(aggregation)
    requests = _down(run, "finetuning")
    assert not any("fold" in m.payload.tensors for m in requests if m.round == 1)
    assert all("fold" in m.payload.tensors for m in requests if m.round > 1)
    digests = {m.round: m.payload.values["work"]["base_digest"] for m in requests}
    assert len(set(digests.values())) == 3
    for m in requests:
        if m.round > 1:
            assert m.payload.values["work"]["fold_from"] == digests[m.round - 1]
    assert not any("base" in m.payload.tensors for m in requests if m.round > 1)
    # No site had to ask: what it folded is what the coordinator folded.
    assert not any("error" in m.payload.values for m in run.messages)


def test_the_error_of_the_average_is_told_and_exact_methods_have_none(
    undisturbed: Callable[[str], Any],
) -> None:
    errors = {}
    for aggregation in ("average", "stacking"):
        lines = (undisturbed(aggregation).folder / "progress.jsonl").read_text().splitlines()
        rounds = [json.loads(line) for line in lines]
        errors[aggregation] = [
            r["aggregation_error"]
            for r in rounds
            if r["event"] == "round" and r["phase"] == "finetuning"
        ]
    assert all(error > 1e-4 for error in errors["average"])
    assert all(error < 1e-3 for error in errors["stacking"])


@pytest.mark.parametrize("digest", ["../../escape", "0" * 63, "G" * 64, "0" * 64 + "/x"])
@pytest.mark.parametrize("key", ["base_digest", "fold_from"])
def test_a_digest_that_is_none_touches_no_file(
    make_study: Any, tmp_path: Path, digest: str, key: str
) -> None:
    study = make_study()
    digests = {"base_digest": "0" * 64, key: digest}
    work = Work(
        WorkId(study.digest, "finetuning", 1, 1),
        study,
        base_digest=digests["base_digest"],
        fold_from=digests.get("fold_from", ""),
    )
    with pytest.raises(WireError, match="no valid digest") as refused:
        BaseStore(tmp_path).of(work)
    assert not isinstance(refused.value, BaseMissingError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("aggregation", ["average", *FOLDING])
def test_a_base_or_a_fold_that_its_digest_does_not_name_is_refused(
    make_study: Any, tmp_path: Path, aggregation: str
) -> None:
    study = _lora(make_study, aggregation)
    matrix = "encoder.blocks.0.q"
    base = {f"{matrix}.weight": np.eye(4, dtype=np.float32)}
    fold = {
        f"{matrix}.fold_B": np.ones((4, 1), np.float32),
        f"{matrix}.fold_A": np.ones((1, 4), np.float32),
    }
    store, first = BaseStore(tmp_path), digest_of(base)
    work = Work(WorkId(study.digest, "finetuning", 1, 1), study, base=base, base_digest=first)
    store.of(work)
    folded = replace(work, base=None, fold=fold, fold_from=first)
    named = replace(folded, base_digest=digest_of(fold, first))
    other = replace(folded, base_digest="0" * 64)
    wrong = other if aggregation != "average" else replace(work, base_digest="0" * 64)
    with pytest.raises(WireError, match=r"not the one|not those"):
        store.of(wrong)
    assert [file.stem for file in (tmp_path / "base").iterdir()] == [first]
    if aggregation != "average":
        assert np.array_equal(store.of(named)[f"{matrix}.weight"], np.eye(4) + 1)


def test_what_a_killed_process_left_half_written_goes(make_study: Any, tmp_path: Path) -> None:
    """Each is as large as a model."""
    study, base = _lora(make_study), {"encoder.norm.weight": np.ones(4, np.float32)}
    (tmp_path / "base").mkdir()
    for name in ("a.partial", f"{digest_of(base)}.4711.partial"):
        (tmp_path / "base" / name).write_bytes(b"half")
    work = Work(
        WorkId(study.digest, "finetuning", 1, 1), study, base=base, base_digest=digest_of(base)
    )
    BaseStore(tmp_path).of(work)
    names = {file.name for file in (tmp_path / "base").iterdir()}
    assert names == {f"{digest_of(base)}.safetensors"}
