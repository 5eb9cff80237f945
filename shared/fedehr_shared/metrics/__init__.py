"""AUROC, AUPRC and Brier score, their intervals, and what of them may be told."""
