"""`verdict.json`: what a run found, in one shape that scripts may rely on."""
