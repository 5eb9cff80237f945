"""Evidence on one machine: synthetic hospitals, simulation, baselines, verdicts."""
