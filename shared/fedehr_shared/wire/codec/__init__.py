"""Named tensors as bytes and back: each with its type, shape and checksum, and no pickle."""
