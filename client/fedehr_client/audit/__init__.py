"""What this site did with its records, in a file that only grows."""
