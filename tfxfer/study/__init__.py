"""Many Runs: which there are, where they run, how they stand. No TensorFlow."""
