"""Arrow schemas and names of MEDS 0.4, as the `meds` package defines them.

Written out here so that reading records needs no further package at run time; a test
compares each with `meds` itself. Source: Medical Event Data Standard 0.4,
https://github.com/Medical-Event-Data-Standard/meds.
"""

import pyarrow as pa

DATA_SCHEMA = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("time", pa.timestamp("us")),
        pa.field("code", pa.string(), nullable=False),
        pa.field("numeric_value", pa.float32()),
        pa.field("visit_id", pa.int64()),
    ]
)
"""One row an event. `time` null: static. `visit_id` (an extension column): the hospital
stay that the event belongs to, null outside one."""

CODES_SCHEMA = pa.schema(
    [
        pa.field("code", pa.string(), nullable=False),
        pa.field("description", pa.string()),
        pa.field("parent_codes", pa.list_(pa.string())),
        pa.field("delay_hours", pa.float32()),
    ]
)
"""`delay_hours` (an extension column): how much later than its time an event of the code is
known, as billing codes are; null: at once."""

SPLITS_SCHEMA = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)
LABELS_SCHEMA = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("prediction_time", pa.timestamp("us"), nullable=False),
        pa.field("boolean_value", pa.bool_()),
    ]
)
TIME_LABELS_SCHEMA = LABELS_SCHEMA.append(pa.field("float_value", pa.float32()))
"""Hours to an event (`boolean_value` true), or to the end of what is known."""

TRAIN, TUNING, HELD_OUT = "train", "tuning", "held_out"
SPLITS = (TRAIN, TUNING, HELD_OUT)
BIRTH_CODE = "MEDS_BIRTH"
SEX_PREFIX = "SEX//"
MEDS_VERSION = "0.4.1"
