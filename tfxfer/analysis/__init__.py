"""Numbers from Records: statistics, one cell a network, dataset and setting, tests."""
