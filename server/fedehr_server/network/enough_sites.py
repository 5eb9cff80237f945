"""`require_enough_sites`: a study counts no round with fewer sites than its `min_sites`."""

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError


def require_enough_sites(study: StudyConfig, num_sites: int, what: str) -> None:
    """Check that a study can come to the sites that it needs.

    Args:
        study: the study.
        num_sites: that there would be.
        what: who would have so many, with its verb: "the run would have".

    Raises:
        ConfigError: they are too few.
    """
    least = study.federation.min_sites
    if num_sites < least:
        raise ConfigError(
            f"study {study.name} needs {least} sites and {what} {num_sites}. Add sites with "
            "`fedehr-server site add`, or mend [federation] min_sites."
        )
