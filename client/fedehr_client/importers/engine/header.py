"""Which column of a file is which of a table's."""

import re
from collections.abc import Mapping, Sequence

from fedehr_client.importers.engine.table import SourceTable
from fedehr_shared.errors import DataError

_WRAPPED = re.compile(r"\w+\(\s*\"?(\w+)\"?\s*,[^)]*\)")
"""A SQL expression as a header, as in `date(x,'unixepoch')`."""


def match_header(table: SourceTable, header: Sequence[str], where: str) -> Mapping[str, int]:
    """For each column of `table` that the file has, its place in `header`.

    Names are compared without case, blanks and quotes around them.

    Raises:
        DataError: a required column is missing, or a column is there twice.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(header):
        places.setdefault(_plain(name), []).append(place)
    found = {}
    for column in table.columns:
        names = [name for name in column.headers if _plain(name) in places]
        if not names:
            continue
        at = places[_plain(names[0])]
        if len(at) > 1:
            raise DataError(
                f"table '{table.name}' ({where}) holds the column '{names[0]}' {len(at)} times. "
                "Keep one of them."
            )
        found[column.name] = at[0]
    wanted = [c for c in table.columns if (c.required or c.must_exist) and c.name not in found]
    missing = dict.fromkeys(column.headers[0] for column in wanted)
    if missing:
        raise DataError(
            f"table '{table.name}' ({where}) lacks column(s) {', '.join(missing)}. "
            "Take the whole table, with its header."
        )
    return found


def _plain(name: str) -> str:
    plain = name.strip().strip('"').strip().lower()
    wrapped = _WRAPPED.fullmatch(plain)
    return wrapped.group(1) if wrapped else plain
