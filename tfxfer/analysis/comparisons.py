"""Until all callers name points and paired_tests."""

from tfxfer.analysis.paired_tests import (  # noqa: F401
    PAIRS,
    Comparison,
    NetworkPair,
    compare,
    network_pairs,
    predictions,
    wins,
)
from tfxfer.analysis.points import (  # noqa: F401
    Condition,
    Matrix,
    Point,
    conditions,
    dataset_points,
    matrices,
    one_recipe,
)
from tfxfer.analysis.points import mean_points as points  # noqa: F401
