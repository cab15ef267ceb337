"""Evaluation: ranks under every protocol, in expectation, and two models compared."""

from minirec.evaluation.comparison import compare
from minirec.evaluation.evaluate import PROTOCOLS, Evaluation, evaluate
from minirec.evaluation.expected import expected_metrics
from minirec.evaluation.negatives import sample_negatives

__all__ = [
    "PROTOCOLS",
    "Evaluation",
    "compare",
    "evaluate",
    "expected_metrics",
    "sample_negatives",
]
