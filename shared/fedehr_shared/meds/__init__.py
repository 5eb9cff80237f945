"""MEDS 0.4 datasets on disk: one folder a site, many sites a federation folder."""
