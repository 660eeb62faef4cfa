"""L2-regularised logistic regression, solved at every l2 of a path.

The objective is the SUM over images of the cross-entropy plus l2/2 |w|^2 with a free
bias, so l2 is 1/C of scikit-learn. Labels y [n] are classes (softmax). Labels
y [n, classes] are 1 present, 0 absent, -1 difficult; then each class is a binary
problem of its own, without the images that are difficult for it.

The method is Newton's, by preconditioned conjugate gradients in coordinates where the
preconditioner is near the inverse Hessian; docs/logistic_regression.md derives it.
Problem is data that stay; Point is where the objective was evaluated; State is what one
solution leaves for the next.
"""

from tfxfer.logreg.limits import ATOL, RTOL, Limits
from tfxfer.logreg.objective import loss_and_grad, predict
from tfxfer.logreg.regularization_path import fit, path

__all__ = ['ATOL', 'RTOL', 'Limits', 'fit', 'loss_and_grad', 'path', 'predict']
