"""Writing synthetic hospitals as a federation folder, with what was planted beside it.

DIR/federation.json `truth`  conditions, effects and the oracle's AUROC by task
DIR/truth.parquet            the true probability of each subject and task
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.meds.new_folder import new_folder
from fedehr_shared.meds.schema import LABELS_SCHEMA
from fedehr_shared.meds.writer import write_federation_file, write_site
from fedehr_simulations.hospitals.events import EventMaker
from fedehr_simulations.hospitals.outcomes import COIN, TASKS
from fedehr_simulations.hospitals.plan import HospitalsPlan
from fedehr_simulations.hospitals.population import Hospitals, make_hospitals
from fedehr_simulations.hospitals.visits import PREDICTION_HOURS, to_time

TRUTH_FILE = "truth.parquet"
DESCRIPTIONS = {
    "death": "death in the index visit, predicted 24 hours into it",
    "long_stay": "index visit longer than 7 days, predicted 24 hours into it",
    COIN: "negative control: a coin toss, so that an honest AUROC is 0.5",
}


def write_hospitals(path: Path, plan: HospitalsPlan) -> dict[str, Any]:
    """Make the hospitals of `plan` and write them to the new folder `path`.

    Returns:
        What was made: `sites` (name, num_subjects, num_events, prevalence by task) and
        `tasks` (prevalence, oracle_auroc, oracle_auroc_held_out).

    Raises:
        DataError: `path` exists already.
    """
    with new_folder(path) as folder:
        made = make_hospitals(plan)
        events = EventMaker(made).make_table()
        sites = [
            _write_one(folder / name, made, index, events)
            for index, name in enumerate(plan.site_names)
        ]
        tasks = {task: _describe_task(made, task) for task in TASKS}
        pq.write_table(_truth_table(made), folder / TRUTH_FILE, compression="zstd")
        write_federation_file(folder, _federation_content(made, tasks))
    return {"sites": sites, "tasks": tasks}


def _write_one(folder: Path, made: Hospitals, site: int, events: pa.Table) -> dict[str, Any]:
    members = made.patients.site == site
    subjects = pa.array(made.patients.subject_id[members])
    own = events.filter(pc.is_in(events.column("subject_id"), value_set=subjects))
    labels = {task: _labels_table(made, task, members) for task in TASKS}
    dataset = {
        "dataset_name": f"synthetic hospitals, seed {made.plan.seed}, {folder.name}",
        "etl_name": "fedehr-sim hospitals",
    }
    write_site(
        folder,
        events=own,
        codes=made.catalog.to_table(),
        labels=labels,
        split_key=made.split_key,
        dataset=dataset,
    )
    prevalence = {
        task: round(float(made.outcomes.label[task][members].mean()), 4) for task in TASKS
    }
    return {
        "name": folder.name,
        "num_subjects": len(subjects),
        "num_events": own.num_rows,
        "prevalence": prevalence,
    }


def _labels_table(made: Hospitals, task: str, members: NDArray[np.bool_]) -> pa.Table:
    order = np.argsort(made.patients.subject_id[members])
    prediction = to_time(made.visits.index_start_hours[members] + PREDICTION_HOURS)
    columns = {
        "subject_id": made.patients.subject_id[members][order],
        "prediction_time": prediction[order],
        "boolean_value": made.outcomes.label[task][members][order],
    }
    return pa.table(columns, schema=LABELS_SCHEMA)


def _describe_task(made: Hospitals, task: str) -> dict[str, float | None]:
    held_out = made.is_held_out
    label, probability = made.outcomes.label[task], made.outcomes.probability[task]
    return {
        "prevalence": round(float(label.mean()), 4),
        "oracle_auroc": _auroc(label, probability),
        "oracle_auroc_held_out": _auroc(label[held_out], probability[held_out]),
    }


def _auroc(label: NDArray[np.bool_], probability: NDArray[np.float64]) -> float | None:
    """The oracle's AUROC; None where only one class occurs."""
    from sklearn.metrics import roc_auc_score

    if label.all() or not label.any():
        return None
    return round(float(roc_auc_score(label, probability)), 4)


def _truth_table(made: Hospitals) -> pa.Table:
    names = np.array(made.plan.site_names, dtype=object)
    columns = {
        "subject_id": made.patients.subject_id,
        "site": names[made.patients.site],
        **{f"probability_{task}": made.outcomes.probability[task] for task in TASKS},
    }
    return pa.table(columns).sort_by("subject_id")


def _federation_content(made: Hospitals, tasks: dict[str, Any]) -> dict[str, Any]:
    plan, conditions = made.plan, made.conditions
    mix = conditions.mix.round(4)
    return {
        "source": "fedehr-sim hospitals",
        "split_key": made.split_key,
        "num_subjects": plan.num_subjects,
        "seed": plan.seed,
        "tasks": {
            task: {
                "description": DESCRIPTIONS[task],
                "exclusions": [],
                "prevalence": about["prevalence"],
            }
            for task, about in tasks.items()
        },
        "truth": {
            "tasks": tasks,
            "interaction": list(conditions.interaction),
            "conditions": [
                {
                    "chapter": int(conditions.chapter[number]),
                    "codes": group.codes,
                    "effects": {
                        task: round(float(effect[number]), 4)
                        for task, effect in conditions.effects.items()
                    },
                    "share_by_site": dict(
                        zip(plan.site_names, mix[:, number].tolist(), strict=True)
                    ),
                }
                for number, group in enumerate(made.catalog.synonyms)
            ],
        },
    }
