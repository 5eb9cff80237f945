"""`csv`: a hospital's own tables by a mapping file, the interface for all that has no importer."""
