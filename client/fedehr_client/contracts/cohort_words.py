"""`cohort_in_words`: whose labels a study uses."""

from fedehr_shared.config.cohort import OLDEST_YEARS, CohortConfig


def cohort_in_words(cohort: CohortConfig) -> str:
    """One phrase, `everyone` where nothing is asked."""
    if cohort.is_everyone:
        return "everyone"
    parts = []
    if cohort.bounds_age:
        oldest = "" if cohort.max_age_years == OLDEST_YEARS else f" to {cohort.max_age_years:g}"
        parts.append(f"aged {cohort.min_age_years:g}{oldest or ' and older'}")
    if cohort.setting:
        parts.append(f"in a visit with {cohort.setting}")
    if cohort.start_date or cohort.end_date:
        begin, end = cohort.start_date or "any day", cohort.end_date or "any day"
        parts.append(f"predicted from {begin} to {end}")
    if cohort.min_history_hours:
        parts.append(f"known for {cohort.min_history_hours:g} hours before")
    return ", ".join(parts)
