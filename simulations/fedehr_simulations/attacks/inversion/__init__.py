"""Reading a subject's codes out of one update, with and without what protects it."""
