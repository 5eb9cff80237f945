"""Numbers of subjects and visits that a hospital names by text, for SQL."""

from collections.abc import Callable

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.func import PythonUDFType

from fedehr_client.identity import IdentityHash
from fedehr_client.importers.csv.row_scope import SUBJECT_FUNCTION, VISIT_FUNCTION


def register_numbers(connection: duckdb.DuckDBPyConnection, identity: IdentityHash) -> None:
    """Offer `subject_number(text)` and `visit_number(text)` to SQL."""
    for name, what in ((SUBJECT_FUNCTION, "subject"), (VISIT_FUNCTION, "visit")):
        connection.create_function(
            name, _column(identity, what), ["VARCHAR"], "BIGINT", type=PythonUDFType.ARROW
        )


def _column(identity: IdentityHash, what: str) -> Callable[[pa.ChunkedArray], pa.Array]:
    def numbers(texts: pa.ChunkedArray) -> pa.Array:
        coded = pc.dictionary_encode(texts.combine_chunks())
        values = [identity.number(text, what) for text in coded.dictionary.to_pylist()]
        return pa.array(values, pa.int64()).take(coded.indices)

    return numbers
