"""MEDS of another tool, 0.3 to 0.4: read as it is, repaired while it is copied."""
