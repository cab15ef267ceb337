"""minirec evaluate: judge a saved model."""

import json

import minirec
from minirec.cli.shared import load_data, metrics_line, metrics_of


def run(options) -> None:
    """Judge a saved model and print its metrics."""
    model, data = minirec.load_model(options.model), load_data(options)
    split = data.split(options.split or model.vocabulary.split.partition(" ")[0] or "leave-one-out")
    result = minirec.evaluate(
        model,
        split,
        which=options.which,
        protocol=options.protocol,
        k=options.k,
        exclude_seen=options.exclude_seen,
    )
    print(json.dumps(metrics_of(result)) if options.json else metrics_line(metrics_of(result)))
