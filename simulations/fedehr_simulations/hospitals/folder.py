"""Writing synthetic hospitals as a federation folder, with what was planted beside it.

DIR/federation.json `truth`  conditions, effects and the oracle's AUROC by task
DIR/truth.parquet            the true probability of each subject and task
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.config.task import TaskConfig
from fedehr_shared.meds.labels import Labels, label_table
from fedehr_shared.meds.new_folder import new_folder
from fedehr_shared.meds.writer import write_federation_file, write_site
from fedehr_simulations.hospitals.events import EventMaker
from fedehr_simulations.hospitals.further_outcomes import FURTHER_TASKS
from fedehr_simulations.hospitals.oracle import DESCRIPTIONS, describe_further, describe_task
from fedehr_simulations.hospitals.outcomes import TASKS
from fedehr_simulations.hospitals.plan import HospitalsPlan
from fedehr_simulations.hospitals.population import Hospitals, make_hospitals
from fedehr_simulations.hospitals.visits import PREDICTION_HOURS, to_time

TRUTH_FILE = "truth.parquet"


def write_hospitals(path: Path, plan: HospitalsPlan) -> dict[str, Any]:
    """Make the hospitals of `plan` and write them to the new folder `path`.

    Returns:
        What was made: `sites` (name, num_subjects, num_events, prevalence by task) and
        `tasks` (prevalence, oracle_auroc, oracle_auroc_held_out) and `further_tasks` (what
        `[tasks.NAME]` says of them, and the oracle's score).

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
        tasks = {task: describe_task(made, task) for task in TASKS}
        further = describe_further(made)
        pq.write_table(_truth_table(made), folder / TRUTH_FILE, compression="zstd")
        write_federation_file(folder, _federation_content(made, tasks, further))
    return {"sites": sites, "tasks": tasks, "further_tasks": further}


def _write_one(folder: Path, made: Hospitals, site: int, events: pa.Table) -> dict[str, Any]:
    members = made.patients.site == site
    subjects = pa.array(made.patients.subject_id[members])
    own = events.filter(pc.is_in(events.column("subject_id"), value_set=subjects))
    labels = {
        task: label_table(_labels(made, own, members), config)
        for task, config, own in _labels_by_task(made)
    }
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


def _labels_by_task(
    made: Hospitals,
) -> Iterator[tuple[str, TaskConfig, NDArray[np.bool_] | NDArray[np.float64]]]:
    for task in TASKS:
        yield task, TaskConfig(), made.outcomes.label[task]
    for task, config in FURTHER_TASKS.items():
        yield task, config, made.further.label[task]


def _labels(
    made: Hospitals, values: NDArray[np.bool_] | NDArray[np.float64], members: NDArray[np.bool_]
) -> Labels:
    prediction = to_time(made.visits.index_start_hours[members] + PREDICTION_HOURS)
    return Labels(
        subject_ids=made.patients.subject_id[members],
        prediction_times=prediction.astype(np.int64),
        values=values[members].astype(np.float32),
    )


def _truth_table(made: Hospitals) -> pa.Table:
    names = np.array(made.plan.site_names, dtype=object)
    columns = {
        "subject_id": made.patients.subject_id,
        "site": names[made.patients.site],
        **{f"probability_{task}": made.outcomes.probability[task] for task in TASKS},
    }
    return pa.table(columns).sort_by("subject_id")


def _federation_content(
    made: Hospitals, tasks: dict[str, Any], further: dict[str, Any]
) -> dict[str, Any]:
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
        "further_tasks": further,
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
