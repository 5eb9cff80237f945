"""The contract of a study: what it may ask of a site, signed by the coordinator."""
