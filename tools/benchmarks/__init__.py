"""What the programs tools/bench_*.py have in common, and the peers of bench_logreg."""
