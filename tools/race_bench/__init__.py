"""Races replayed on cached features: what tools.bench_race measures, and how."""
