"""Images, labels and splits: where they are, and how they reach a network."""
