"""L2-regularised logistic regression, solved at every l2 of a path."""

from tfxfer.logreg.problem import ATOL, RTOL, fit, loss_and_grad, path, predict

__all__ = ['ATOL', 'RTOL', 'fit', 'loss_and_grad', 'path', 'predict']
