"""Learning: augmentation, batches, supervised training, evaluation and reports."""
