"""What a frozen encoder knows of outcomes: logistic regression on its encodings of subjects."""
