"""What a node needs, looked at before it starts and while it runs."""
