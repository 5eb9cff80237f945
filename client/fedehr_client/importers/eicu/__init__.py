"""eICU-CRD (tables as PhysioNet ships them) and its hourly measurements, read with DuckDB."""
