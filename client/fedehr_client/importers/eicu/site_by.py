"""How eICU's hospitals, 10 to 40 stays each, are grouped into sites."""

from enum import StrEnum


class SiteBy(StrEnum):
    """The values of `--site-by`."""

    REGION = "region"
    REGION_BED = "region-bed"
