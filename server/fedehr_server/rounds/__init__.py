"""The logic of phases and rounds: a pure state machine, and the loop that joins it to nodes."""
