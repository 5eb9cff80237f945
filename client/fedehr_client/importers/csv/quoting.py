"""Names and texts of a mapping file as SQL: the only two ways in which they get there."""


def quote_name(name: str) -> str:
    """`name` as an SQL identifier: whatever it holds, it names something and nothing else."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """`text` as an SQL literal. DuckDB's plain literals know no backslash escapes."""
    return "'" + text.replace("'", "''") + "'"
