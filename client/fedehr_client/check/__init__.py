"""Can this site take part? One page about its records, in the terminal, as JSON or HTML."""
