"""What a site answers to each kind of work, independent of the transport."""
