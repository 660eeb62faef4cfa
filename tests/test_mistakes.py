import numpy as np

from tfxfer import mistakes


def test_the_most_confident_mistakes_come_first():
    labels = np.array([0, 1, 0, 1])
    # Right; wrong by a little; wrong by much; right.
    logits = np.log([[0.9, 0.1], [0.6, 0.4], [0.05, 0.95], [0.3, 0.7]])
    rows, predicted, p = mistakes.most_confident(labels, logits, 9)
    assert rows.tolist() == [2, 1] and predicted.tolist() == [1, 0]
    np.testing.assert_allclose(p, [0.95, 0.6])
    (first,), *_ = mistakes.most_confident(labels, logits, 1)
    assert first == 2


def test_a_mistake_of_many_labels_is_an_absent_class_that_is_predicted():
    labels = np.array([[1, 0, 0], [0, -1, 1], [0, 0, 1]])
    odds = np.array([[9.0, 3, 1 / 9], [1 / 9, 99, 9], [19, 1 / 9, 1 / 9]])
    rows, predicted, p = mistakes.most_confident(labels, np.log(odds), 9)
    # Of the second image the predicted class is difficult: no mistake.
    assert rows.tolist() == [2, 0] and predicted.tolist() == [0, 1]
    np.testing.assert_allclose(p, [0.95, 0.75])
