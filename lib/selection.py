"""Which pseudo-labels to keep: those that the model is sure of, and as many of each class.

A cell's confidence is the distance between value p and threshold t as a share of the greatest
possible one, |p - t| / max over [0, 1] on p's side (|2p - 1| when t is 0.5).
"""

import numpy as np


def cell_confidence(scores, at):
    """How sure each AU reading is, float [N,A] in [0, 1]. scores: [N,A] in [0, 1]; at: thresholds
    [A]."""
    room = np.where(scores < at, at, 1 - np.asarray(at))
    return (np.abs(scores - at) / np.maximum(room, 1e-6)).clip(0, 1)


def balanced_cells(scores, at, most):
    """bool [N,A]: of every AU the `most` surest presences and the `most` surest absences."""
    confidence, present = cell_confidence(scores, at), scores >= at
    chosen = np.zeros(scores.shape, bool)
    for a in range(scores.shape[1]):
        for side in (present[:, a], ~present[:, a]):
            rows = np.flatnonzero(side)
            chosen[rows[np.argsort(-confidence[rows, a], kind="stable")[:most]], a] = True
    return chosen


def balanced_rows(probabilities, most):
    """bool [N]: of every class the `most` rows whose probability of it is highest, among those
    that are most likely of it. probabilities: [N,E]."""
    best, chosen = probabilities.argmax(1), np.zeros(len(probabilities), bool)
    for k in range(probabilities.shape[1]):
        rows = np.flatnonzero(best == k)
        chosen[rows[np.argsort(-probabilities[rows, k], kind="stable")[:most]]] = True
    return chosen
