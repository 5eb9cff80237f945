"""Planted canaries: made-up subjects whose records are sequences of codes that nobody has.

Some are put into one site's train split, many more are drawn alike and put nowhere. A model that
has learnt a canary by heart names its hidden events more surely than those of the others.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import BIRTH_CODE, DATA_SCHEMA, HELD_OUT, SEX_PREFIX, TRAIN
from fedehr_shared.seeds import derive_generator
from fedehr_simulations.efficiency.linked_sites import link_with_splits

FIRST_ID = 2**62
"""Beyond the numbers of the records' own subjects."""
_DAY_US = 24 * 3_600 * 1_000_000
_FIRST_DAY_US = 18_262 * _DAY_US
_YEARS_US = 40 * 365 * _DAY_US
_LEAST_CODES = 8
UNLEARNT_BITS = 1 / np.log(2)
"""The mean exposure of what was not learnt, for many references."""


@dataclass(frozen=True)
class Canaries:
    """What is planted, and what it is held against.

    Attributes:
        planted: subjects put into a train split.
        references: subjects drawn alike and put nowhere.
        num_events: codes of each, one a day.
        seed: of the draws.
    """

    planted: int = 8
    references: int = 1_000
    num_events: int = 24
    seed: int = 0

    def plant(self, site: SiteFolder, folder: Path, min_cell: int) -> SiteFolder:
        """A site with the canaries in its train split, linked in the new `folder / <its name>`.

        Raises:
            DataError: the site has too few codes that `min_cell` subjects have.
        """
        events = self._events(common_codes(site, min_cell), self.planted)
        splits = read_splits(site) | dict.fromkeys(self._ids(self.planted), TRAIN)
        planted = link_with_splits(folder, site, splits)
        data = planted.path / "data"
        # The link to the site's own folder makes room for one that holds a shard more.
        data.unlink()
        data.mkdir()
        for file in site.data_files:
            (data / file.name).symlink_to(file.resolve())
        pq.write_table(events, data / "canaries.parquet")
        return planted

    def write_apart(self, site: SiteFolder, folder: Path, min_cell: int) -> SiteFolder:
        """Canaries (split `train`) and references (`held_out`) as a site of their own, to ask a
        model about, in the new `folder / <the site's name>`.

        Raises:
            DataError: as `plant`.
        """
        ids = self._ids(self.planted + self.references)
        splits = dict.fromkeys(ids, HELD_OUT) | dict.fromkeys(self._ids(self.planted), TRAIN)
        apart = link_with_splits(folder, site, splits)
        data = apart.path / "data"
        data.unlink()
        data.mkdir()
        pq.write_table(self._events(common_codes(site, min_cell), len(ids)), data / "0.parquet")
        return apart

    def _ids(self, num: int) -> list[int]:
        return list(range(FIRST_ID, FIRST_ID + num))

    def _events(self, codes: list[str], num: int) -> pa.Table:
        """The first `num` subjects, the same whatever `num`, sorted."""
        parts = [self._subject(subject_id, codes) for subject_id in self._ids(num)]
        return pa.concat_tables(parts)

    def _subject(self, subject_id: int, codes: list[str]) -> pa.Table:
        """A birth, and one code a day, each as likely as any other."""
        generator = derive_generator("canary", self.seed, subject_id)
        drawn = [codes[place] for place in generator.integers(0, len(codes), self.num_events)]
        days = _FIRST_DAY_US + _DAY_US * np.arange(self.num_events)
        times = np.concatenate([[_FIRST_DAY_US - _YEARS_US], days])
        num = self.num_events + 1
        return pa.table(
            {
                "subject_id": pa.array([subject_id] * num, pa.int64()),
                "time": pa.array(times, pa.int64()).cast(pa.timestamp("us")),
                "code": pa.array([BIRTH_CODE, *drawn], pa.string()),
                "numeric_value": pa.nulls(num, pa.float32()),
                "visit_id": pa.nulls(num, pa.int64()),
            },
            schema=DATA_SCHEMA,
        )


def common_codes(site: SiteFolder, min_cell: int) -> list[str]:
    """Codes without values that many subjects have, so that a vocabulary knows them; by name.

    Raises:
        DataError: there are fewer than 8.
    """
    tables = [
        pq.read_table(file, columns=["subject_id", "code", "numeric_value"])
        for file in site.data_files
    ]
    counted = (
        pa.concat_tables(tables)
        .group_by("code")
        .aggregate([("subject_id", "count_distinct"), ("numeric_value", "count")])
    )
    is_common = pc.greater_equal(counted.column("subject_id_count_distinct"), 4 * min_cell)
    has_none = pc.equal(counted.column("numeric_value_count"), 0)
    codes = counted.filter(pc.and_(is_common, has_none)).column("code").to_pylist()
    chosen = sorted(code for code in codes if code != BIRTH_CODE and SEX_PREFIX not in code)
    if len(chosen) < _LEAST_CODES:
        raise DataError(
            f"site '{site.name}' has {len(chosen)} codes without values that {4 * min_cell} "
            f"subjects have, and canaries need {_LEAST_CODES}. Take a larger site."
        )
    return chosen


def exposures(losses: NDArray[np.float64], is_planted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Each canary's exposure, in bits (Carlini et al. 2019, "The Secret Sharer", section 4.2).

    `log2(all) - log2(rank)`, of its rank by loss among the references and itself. Of a canary
    that was not learnt the rank is any, and the mean exposure `UNLEARNT_BITS`.

    Args:
        losses: `[subjects]`.
        is_planted: `[subjects]`.

    Shape: `[planted]`.
    """
    references = losses[~is_planted]
    ranks = 1 + (references[None, :] < losses[is_planted][:, None]).sum(axis=1)
    return np.asarray(np.log2(references.size + 1) - np.log2(ranks))
