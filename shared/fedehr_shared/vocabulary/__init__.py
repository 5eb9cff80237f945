"""The federation's vocabulary: what sites may report, and the tokens that follow from it."""
