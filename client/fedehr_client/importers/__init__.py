"""Records in: one package or file a source, each an `Importer`."""
