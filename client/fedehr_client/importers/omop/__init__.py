"""OMOP CDM 5.3 and 5.4, from files or from PostgreSQL."""
