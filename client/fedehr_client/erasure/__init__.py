"""Erasing subjects who withdraw: from records, splits, labels and token stores."""
