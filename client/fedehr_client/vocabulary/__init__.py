"""The site's part of the vocabulary phase: counts of codes and values, and what of them leaves."""
