"""Networks ranked before any is fine-tuned: scores of features, and a shortlist."""
