"""The import engine: source tables in, checked and sorted MEDS out, in bounded memory.

An importer reads tables (`load.open_table`), and answers with SQL (`source.RecordsPlan`);
the engine sorts, writes and accounts for every row (`write.write_records`).
"""
