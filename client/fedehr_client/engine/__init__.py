"""All that the client knows of the engine's internals; `version.py` pins what they are."""
