import numpy as np
import pytest

from tests.support.logistic import features, present
from tfxfer import logreg

X, Y = features(6, 2, 3, apart=1)
BAD = X.copy()
BAD[[1, 4], [0, 1]] = np.nan, np.inf


@pytest.mark.parametrize(
    'x, y, classes, l2, message',
    [
        (BAD, Y, 3, 1, r'2 of 6 images .* NaN or infinite, the first at \[1, 4\]'),
        (X, np.full(6, 3), 3, 1, r'Labels must be 0 to 2 .*found \[3\]'),
        (X, np.array([0, 1, 2, 0, 1, -1]), 3, 1, r'found \[-1\]'),
        (X, Y, 5, 1, r'Classes \[3, 4\] have no image'),
        (X, present(6, 3) + 1, 3, 1, r'Labels must be 1 \(present\).*found \[2\]'),
        (
            X,
            np.ones((6, 3), int),
            3,
            1,
            r'Classes \[0, 1, 2\] have no positive or no n',
        ),
        (X, np.full((6, 1), -1), 1, 1, r'Classes \[0\] have no positive or no neg'),
        (
            X,
            Y[:5],
            3,
            1,
            r'Labels have shape \(5,\), features \(6, 2\): expected \(6,\)',
        ),
        (
            X,
            present(6, 2),
            3,
            1,
            r'Labels have shape \(6, 2\).*\(6, 3\) of 1, 0 and -1',
        ),
        (X, Y + 0.5, 3, 1, 'Labels are float64; whole numbers were expected'),
        (X, np.zeros(6, int), 1, 1, 'needs 2 classes or more, not 1'),
        (
            X[0],
            Y,
            3,
            1,
            r'Features are float32 of shape \(2,\); numbers \[images, feat',
        ),
        (X[:0], Y[:0], 3, 1, r'shape \(0, 2\)'),
        (X[:, :0], Y, 3, 1, r'shape \(6, 0\)'),
        (X, Y, 3, 0, r'positive and finite, is needed; got \[0\]'),
        (X, Y, 3, -1.0, 'positive and finite'),
        (X, Y, 3, np.inf, 'positive and finite'),
        (X, Y, 3, np.nan, 'positive and finite'),
    ],
)
def test_what_has_no_solution_is_refused_at_once(x, y, classes, l2, message):
    for call in (
        lambda: logreg.path(x, y, classes, [l2]),
        lambda: logreg.fit(x, y, classes, l2),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_path_without_l2s_is_refused():
    with pytest.raises(ValueError, match='At least one l2'):
        logreg.path(X, Y, 3, [])
