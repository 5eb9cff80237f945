"""Adapters of finished runs: taken out, put in, merged."""
