"""minirec evaluate: judge a saved model."""

import argparse
import json

import minirec
from minirec.cli.shared import (
    add_data_flags,
    add_saved_model_flags,
    load_data,
    metrics_line,
    metrics_of,
)
from minirec.evaluation import PROTOCOLS


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `evaluate`."""
    add_data_flags(parser)
    parser.add_argument("--which", default="test", choices=("valid", "test"))
    parser.add_argument("--protocol", default="full", choices=PROTOCOLS)
    add_saved_model_flags(parser)


def run(options: argparse.Namespace) -> None:
    """Judge a saved model and print its metrics."""
    model = minirec.load_model(options.model)
    data = load_data(options)

    # The split's fingerprint begins with its kind; it is empty where it is not known.
    assert model.vocabulary is not None  # load_model sets it
    trained_on = model.vocabulary.split.partition(" ")[0]
    split = data.split(options.split or trained_on or "leave-one-out")

    evaluation = minirec.evaluate(
        model,
        split,
        which=options.which,
        protocol=options.protocol,
        k=options.k,
        exclude_seen=options.exclude_seen,
    )
    metrics = metrics_of(evaluation)
    print(json.dumps(metrics) if options.json else metrics_line(metrics))
