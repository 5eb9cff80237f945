"""Types of the names that a mapping file may use."""

from typing import Annotated

from pydantic import StringConstraints

TableName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""A table as the mapping calls it; its file may be called anything."""
ColumnName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]
"""A column as the file's header calls it, or `table.column` for a joined table's."""
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
"""A short text without control characters."""
