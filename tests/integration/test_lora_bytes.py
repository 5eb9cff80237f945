"""Bytes of a round with adapters at base size, counted on messages as the engine packs them.

Rank 8 on q and v, one to three tasks, a vocabulary of a real size. The reference is a round of full
fine-tuning: encoder, heads, no head that names masked events and no linear term over the tokens.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

NUM_CODES, NUM_SUBJECTS = 8_200, 60
TASKS = ("death", "long_stay", "coin")
MOST_KB = {"fp32": 200, "fp16": 100, "int8": 55}
FRAMING_KB = 4
SHARE_OF_FULL = 0.0075


@pytest.fixture(scope="module")
def wide_site(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Sixty subjects, each with a third of 8,200 codes."""
    from fedehr_shared.meds.folder import SiteFolder
    from fedehr_shared.meds.schema import CODES_SCHEMA, LABELS_SCHEMA
    from fedehr_shared.meds.writer import write_site

    folder = tmp_path_factory.mktemp("wide") / "site"
    generator = np.random.default_rng(0)
    subjects, codes = np.nonzero(generator.random((NUM_SUBJECTS, NUM_CODES)) < 1 / 3)
    names = np.asarray([f"LAB//{code}" for code in range(NUM_CODES)])
    hour = 3_600_000_000
    events = pa.table(
        {
            "subject_id": pa.array(subjects),
            "time": pa.array(hour * (codes + 1)).cast(pa.timestamp("us")),
            "code": pa.array(names[codes]),
            "numeric_value": pa.nulls(codes.size, pa.float32()),
            "visit_id": pa.array(subjects),
        }
    )
    labels = {
        task: pa.table(
            {
                "subject_id": pa.array(np.arange(NUM_SUBJECTS)),
                "prediction_time": pa.array(np.full(NUM_SUBJECTS, hour * 2 * NUM_CODES)).cast(
                    pa.timestamp("us")
                ),
                "boolean_value": pa.array(generator.random(NUM_SUBJECTS) < 0.5),
            },
            schema=LABELS_SCHEMA,
        )
        for task in TASKS
    }
    catalog = [{"code": name} for name in names.tolist()]
    write_site(
        folder,
        events=events,
        codes=pa.Table.from_pylist(catalog, schema=CODES_SCHEMA),
        labels=labels,
        split_key="wide",
        dataset={"dataset_name": "wide", "etl_name": "test"},
    )
    return SiteFolder(folder)


@pytest.fixture(scope="module")
def exchanged(
    wide_site: Any,
    make_study: Callable[..., Any],
    run_study_in_process: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Any]:
    """The messages of two rounds of fine-tuning at base size over the wide site."""

    def run(tuning: str, dtype: str, num_tasks: int) -> Any:
        lora = {"lora": {"rank": 8, "target_modules": ["q", "v"]}} if tuning == "lora" else {}
        study = make_study(
            federation={"min_sites": 1},
            vocabulary={"min_sites": 1},
            model={"layers": 6, "hidden": 256, "heads": 4},
            pretraining={"rounds": 0},
            finetuning={
                "tuning": tuning,
                "wide": False,
                "optimizer_state": "kept",
                "steps_per_round": 1,
                "tasks": list(TASKS[:num_tasks]),
            },
            exchange={"dtype": dtype},
            **lora,
        )
        folder = tmp_path_factory.mktemp("exchanged")
        return run_study_in_process(study, [wide_site], folder)

    return run


def _packed_bytes(sent: Any) -> int:
    """The whole message as the engine writes it."""
    from flwr.common.serde import recorddict_to_proto

    from fedehr_client.records import to_records

    return int(recorddict_to_proto(to_records(sent.payload)).ByteSize())


def _rounds(run: Any, direction: str) -> list[Any]:
    return [m for m in run.messages if (m.phase, m.direction) == ("finetuning", direction)]


def _plain_bytes(update: Any, dtype: Any) -> int:
    """Bytes of an update's numbers in a dtype, without the table of names and shapes before them
    and before compression, so that two are compared in the same."""
    from fedehr_shared.wire.codec.record import encode
    from fedehr_shared.wire.codec.table import unpack_table

    record = encode(update, dtype, compress=False, generator=np.random.default_rng())
    _, table_bytes = unpack_table(memoryview(record))
    return len(record) - table_bytes


@pytest.fixture(scope="module")
def full_update(exchanged: Callable[..., Any]) -> Any:
    """The tensors of a round of full fine-tuning."""
    from fedehr_shared.wire.codec.record import decode

    run = exchanged("full", "fp16", 1)
    update = decode(_rounds(run, "up")[0].payload.tensors["update"])
    # Nobody's vocabulary is so large for the sake of a ratio.
    assert update["encoder.token_embedding.weight"].shape[0] < 8_400
    return update


@pytest.mark.parametrize(
    ("dtype", "num_tasks"), [("fp32", 3), ("fp16", 1), ("fp16", 3), ("int8", 3)]
)
def test_a_round_with_adapters_costs_kilobytes(
    exchanged: Callable[..., Any], full_update: Any, dtype: str, num_tasks: int
) -> None:
    from fedehr_shared.wire.codec.record import decode

    run = exchanged("lora", dtype, num_tasks)
    most = 1_000 * (MOST_KB[dtype] + FRAMING_KB)
    answers, requests = _rounds(run, "up"), _rounds(run, "down")
    assert len(answers) == 2
    for answer in answers:
        assert set(answer.payload.tensors) == {"update"}
        assert _packed_bytes(answer) <= most
        plain = _plain_bytes(decode(answer.payload.tensors["update"]), dtype)
        assert plain <= SHARE_OF_FULL * _plain_bytes(full_update, dtype)
        assert plain <= 1_000 * MOST_KB[dtype]
    # What is sent once is told apart: an early request holds base and vocabulary, the last not.
    last = requests[-1]
    assert (last.round, set(last.payload.tensors)) == (2, {"model"})
    # Updates alone are rounded to 8 bits; weights travel as fp16 then.
    assert _packed_bytes(last) <= (1_000 * (100 + FRAMING_KB) if dtype == "int8" else most)
    with_base = [m for m in requests if "base" in m.payload.tensors]
    assert [m.round for m in with_base] == [1]
    told = {e["round"]: e for e in run.result["bytes"]["per_round"] if e["phase"] == "finetuning"}
    assert told[1]["base"] == len(with_base[0].payload.tensors["base"])
    assert told[2]["base"] == 0
    assert told[2]["up"] <= most
