"""Flower's engine at the site: the one place of the client that knows its internals."""
