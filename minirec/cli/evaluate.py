"""minirec evaluate: judge a saved model."""

import argparse
import json

import minirec
from minirec.cli.shared import (
    HELD_OUT,
    add_data_flags,
    add_saved_model_flags,
    load_split,
    metrics_line,
    metrics_of,
    print_read_as,
)
from minirec.evaluation import PROTOCOLS
from minirec.evaluation.evaluate import check_k
from minirec.models.base import Vocabulary


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `evaluate`."""
    add_data_flags(parser)
    parser.add_argument(
        "--which",
        default="test",
        choices=("valid", "test"),
        help="the held-out phase (default test)",
    )
    parser.add_argument(
        "--protocol",
        default="full",
        choices=PROTOCOLS,
        help="rank among all items, or among 100 sampled ones (default full)",
    )
    add_saved_model_flags(parser)
    parser.add_argument(
        "--exclude-window",
        dest="exclude_seen",
        action="store_const",
        const="window",
        help="take only what the model reads of the history out of the candidates",
    )


def run(options: argparse.Namespace) -> None:
    """Judge a saved model and print its metrics."""
    check_k(options.k)  # before anything is loaded
    model = minirec.load_model(options.model)
    vocabulary = model.vocabulary
    assert vocabulary is not None  # load_model sets it
    split = load_split(options, trained_on=vocabulary.split)
    _refuse_another_cut(vocabulary, split, options)

    evaluation = minirec.evaluate(
        model,
        split,
        which=options.which,
        protocol=options.protocol,
        k=options.k,
        exclude_seen=options.exclude_seen,
    )
    metrics = metrics_of(evaluation)
    if options.json:
        print(json.dumps({**metrics, "read_as": split.interactions.read_as}))
        return
    print_read_as(split.interactions)
    print(metrics_line(metrics))


def _refuse_another_cut(
    vocabulary: Vocabulary, split: minirec.Split, options: argparse.Namespace
) -> None:
    """Raise where the same data were cut at another time for training.

    A saved model holds the kind of its split and a digest of what it trains on, but not the share
    that was held out; so the share must be typed again, and the digest tells whether it is right.
    """
    both_by_time = split.kind == "temporal" and vocabulary.split.startswith("temporal ")
    same_data = vocabulary.fingerprint == split.interactions.fingerprint
    if both_by_time and same_data and vocabulary.split != split.fingerprint:
        share = HELD_OUT if options.held_out is None else options.held_out
        raise ValueError(
            f"{options.model} was trained on these data, cut at another time than --held-out "
            f"{share} cuts them; give the --held-out that it was trained with."
        )
