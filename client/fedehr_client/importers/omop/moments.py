"""When a CDM row happened, in SQL: its time stamp where it has one, else the end of its day."""


def moment(row: str, prefix: str) -> str:
    """UTC time of `{prefix}_datetime`, or of `{prefix}_date`.

    A time stamp at midnight of the row's own day is taken for a day without a time, as most
    ETLs fill it: at the day's end nothing is known too early.
    """
    day, stamp = f"{row}.{prefix}_date", f"{row}.{prefix}_datetime"
    midnight = f"local_to_utc(CAST({day} AS TIMESTAMP))"
    return (
        f"CASE WHEN {stamp} IS NULL OR {stamp} = {midnight} THEN end_of_day({day}) ELSE {stamp} END"
    )
