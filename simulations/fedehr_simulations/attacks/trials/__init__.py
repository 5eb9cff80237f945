"""All attacks on small synthetic hospitals, by epsilon: the figures of docs/attacks.md."""
