"""`mimic4`: MIMIC-IV 2.x and 3.x by a mapping file that is shipped (`mapping.toml`)."""
