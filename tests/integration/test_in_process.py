"""Whole studies with real sites: the same bits again, held-out subjects left alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.config import ComputeConfig
from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import DATA_SCHEMA, HELD_OUT, LABELS_SCHEMA
from fedehr_shared.metrics.binary import METRICS

ONE_THREAD = ComputeConfig(device="cpu", num_threads=1)


def _bits(weights: dict[str, Any]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in weights.items()}


def _pretrained(folder: Path) -> dict[str, bytes]:
    return _bits(load_weights(CheckpointFolder(folder / "checkpoints").latest("pretraining")))


def test_the_same_study_again_has_the_same_bits(
    make_study: Any, hospitals: Any, finished_study: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    again = run_study_in_process(make_study(), hospitals.sites, tmp_path)
    assert _bits(again.latest_weights) == _bits(finished_study.latest_weights)
    assert _pretrained(again.folder) == _pretrained(finished_study.folder)
    for name in ("vocabulary.json", "evaluation.json"):
        assert (again.folder / name).read_text() == (finished_study.folder / name).read_text()


def test_the_order_of_sites_changes_no_bit(
    make_study: Any, hospitals: Any, finished_study: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    turned = run_study_in_process(make_study(), hospitals.sites[::-1], tmp_path)
    assert _bits(turned.latest_weights) == _bits(finished_study.latest_weights)
    one, other = (
        json.loads((run.folder / "evaluation.json").read_text()) for run in (turned, finished_study)
    )
    assert one["death"]["per_site"] == other["death"]["per_site"]


def test_another_seed_is_another_model(
    make_study: Any, hospitals: Any, finished_study: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    other = run_study_in_process(make_study(seed=1), hospitals.sites, tmp_path)
    assert _bits(other.latest_weights) != _bits(finished_study.latest_weights)
    vocabulary = (finished_study.folder / "vocabulary.json").read_text()
    assert (other.folder / "vocabulary.json").read_text() == vocabulary


def _corrupt(site: Any, subjects: set[int]) -> int:
    """Give these subjects other codes, values and labels; return how many rows changed."""
    table = pq.read_table(site.data_files[0])
    mine = np.isin(table.column("subject_id").to_numpy(), sorted(subjects))
    generator = np.random.default_rng(0)
    codes = np.asarray(table.column("code").to_pylist(), dtype=object)
    values = table.column("numeric_value").to_numpy(zero_copy_only=False).copy()
    chosen = mine & (codes != "MEDS_BIRTH")
    codes[chosen] = generator.permutation(codes[chosen])
    values[chosen] = generator.normal(1e4, 1e3, int(chosen.sum()))
    changed = table.set_column(
        table.column_names.index("code"), "code", pa.array(codes.tolist(), pa.string())
    ).set_column(
        table.column_names.index("numeric_value"), "numeric_value", pa.array(values, pa.float32())
    )
    pq.write_table(changed.cast(DATA_SCHEMA), site.data_files[0])
    for task in site.tasks:
        labels = pq.read_table(site.labels_file(task))
        if "boolean_value" not in labels.column_names:
            continue
        own = np.isin(labels.column("subject_id").to_numpy(), sorted(subjects))
        truth = labels.column("boolean_value").to_numpy(zero_copy_only=False).astype(bool)
        content = {**{n: labels.column(n) for n in labels.column_names}}
        content["boolean_value"] = pa.array(np.where(own, ~truth, truth), pa.bool_())
        pq.write_table(pa.table(content, schema=LABELS_SCHEMA), site.labels_file(task))
    return int(chosen.sum())


def test_held_out_subjects_enter_neither_vocabulary_nor_weights(
    make_study: Any,
    copied_hospitals: Any,
    finished_study: Any,
    run_study_in_process: Any,
    tmp_path: Path,
) -> None:
    for site in copied_hospitals.sites:
        held_out = {s for s, split in read_splits(site).items() if split == HELD_OUT}
        assert _corrupt(site, held_out) > 100
    done = run_study_in_process(make_study(), copied_hospitals.sites, tmp_path)
    name = "vocabulary.json"
    assert (done.folder / name).read_text() == (finished_study.folder / name).read_text()
    assert _pretrained(done.folder) == _pretrained(finished_study.folder)
    assert _bits(done.latest_weights) == _bits(finished_study.latest_weights)
    # The corruption was real: what is told of the held-out subjects is another thing.
    name = "evaluation.json"
    assert (done.folder / name).read_text() != (finished_study.folder / name).read_text()


def test_corrupted_training_subjects_do_change_the_model(
    make_study: Any,
    copied_hospitals: Any,
    finished_study: Any,
    run_study_in_process: Any,
    tmp_path: Path,
) -> None:
    site = copied_hospitals.sites[0]
    train = {s for s, split in read_splits(site).items() if split == "train"}
    _corrupt(site, set(sorted(train)[:20]))
    done = run_study_in_process(make_study(), copied_hospitals.sites, tmp_path)
    assert _pretrained(done.folder) != _pretrained(finished_study.folder)


def test_a_site_whose_scratch_is_lost_between_rounds_goes_on(
    make_study: Any, hospitals: Any, finished_study: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    def lose(sent: Any) -> list[Any]:
        if (sent.phase, sent.round, sent.node) == ("pretraining", 1, 2):
            shutil.rmtree(tmp_path / "work" / "hospital-2")
        return [sent.payload]

    done = run_study_in_process(make_study(), hospitals.sites, tmp_path, alter=lose)
    asked = [
        (m.attempt, m.direction, "error" in m.payload.values)
        for m in done.messages
        if (m.phase, m.round, m.node) == ("pretraining", 2, 1)
    ]
    assert asked == [
        (1, "down", False), (1, "up", True), (2, "down", False), (2, "up", False),
    ]  # fmt: skip
    assert _bits(done.latest_weights) == _bits(finished_study.latest_weights)


def test_the_run_folder_holds_what_is_documented(finished_study: Any) -> None:
    names = {str(f.relative_to(finished_study.folder)) for f in finished_study.folder.rglob("*.*")}
    assert names >= {
        "study.json", "vocabulary.json", "progress.jsonl", "evaluation.json", "result.json",
        "checkpoints/pretraining-0002/model.safetensors",
        "checkpoints/finetuning-0002/manifest.json",
    }  # fmt: skip
    result = finished_study.result
    assert result["sites"] == ["hospital-1", "hospital-2", "hospital-3"]
    assert len(result["pretraining_loss"]) == 2
    ups = sum(entry["up"] for entry in result["bytes"]["per_round"])
    sent = [m.payload.num_bytes for m in finished_study.messages if m.direction == "up"]
    assert ups == sum(sent) == sum(result["bytes"]["up_per_site"].values())


def test_pooled_auroc_bounds_hold_the_score_of_all_subjects(
    make_study: Any, hospitals: Any, finished_study: Any
) -> None:
    import torch

    from fedehr_client.answers.site_data import SiteData
    from fedehr_client.locator import SiteLocation
    from fedehr_client.training.prediction import predict
    from fedehr_shared.vocabulary.vocabulary import Vocabulary

    text = (finished_study.folder / "vocabulary.json").read_text()
    study, vocabulary = make_study(), Vocabulary.from_json(text)
    told = json.loads((finished_study.folder / "evaluation.json").read_text())["death"]
    counted = [name for name, about in told["per_site"].items() if "num" in about]
    labels, scores = [], []
    for site in hospitals.sites:
        if site.name not in counted:
            continue
        location = SiteLocation(
            site.name,
            site,
            finished_study.work / site.name,
            5,
            ONE_THREAD,
        )
        data = SiteData(location, study, vocabulary)
        examples = data.examples(HELD_OUT)
        found = predict(
            study, data.store, examples, num_tokens=data.num_tokens,
            weights=finished_study.latest_weights, compute=Compute(torch.device("cpu")),
        )  # fmt: skip
        own = examples.labels[:, 0].astype(np.float64)
        once = METRICS["auroc"](own, found[:, 0], np.ones((1, own.size)))
        assert told["per_site"][site.name]["auroc"]["value"] == pytest.approx(once[0], abs=0.005)
        labels.append(own)
        scores.append(found[:, 0])
    truth, values = np.concatenate(labels), np.concatenate(scores)
    exact = METRICS["auroc"](truth, values, np.ones((1, truth.size)))[0]
    pooled = told["pooled_auroc"]
    assert pooled["least"] - 1e-9 <= exact <= pooled["greatest"] + 1e-9


def test_one_site_alone_is_a_study_too(
    make_study: Callable[..., Any], hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    study = make_study(federation={"min_sites": 1}, vocabulary={"min_sites": 1})
    done = run_study_in_process(study, hospitals.sites[:1], tmp_path)
    assert done.result["sites"] == ["hospital-1"]


@pytest.mark.parametrize("left_out", ["pretraining", "finetuning"])
def test_a_phase_of_no_rounds_is_left_out(
    make_study: Callable[..., Any],
    hospitals: Any,
    run_study_in_process: Any,
    tmp_path: Path,
    left_out: str,
) -> None:
    study = make_study(**{left_out: {"rounds": 0}})
    done = run_study_in_process(study, hospitals.sites[1:], tmp_path)
    assert done.result["status"] == "completed"
    assert left_out not in {m.phase for m in done.messages}
    assert (done.folder / "evaluation.json").exists() == (left_out == "pretraining")


def test_the_result_tells_how_far_each_site_had_to_back_off(
    finished_study: Any, hospitals: Any
) -> None:
    told = json.loads((finished_study.folder / "result.json").read_text())["back_off"]
    assert sorted(told) == [site.name for site in hospitals.sites]
    for shares in told.values():
        assert set(shares) == {"exact", "ancestor", "bucket", "unknown"}
        known = [share for share in shares.values() if share is not None]
        assert len(known) < 4 or sum(known) == pytest.approx(1.0, abs=0.021)
        assert all(share == round(share, 2) for share in known)
    assert any(shares["exact"] is not None and shares["exact"] > 0.5 for shares in told.values())
