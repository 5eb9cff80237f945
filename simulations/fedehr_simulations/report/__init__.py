"""A run for people: one self-contained HTML page, and a table in the terminal."""
