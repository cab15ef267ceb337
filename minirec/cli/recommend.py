"""minirec recommend: recommend from a saved model alone."""

import csv

import minirec


def run(options) -> None:
    """Print the best next items for each history."""
    model = minirec.load_model(options.model)
    histories = [
        [raw.strip() for row in csv.reader([text]) for raw in row if raw.strip()]
        for text in options.history
    ]
    frame = minirec.recommend(model, histories, options.k, exclude_seen=options.exclude_seen)
    if options.json:
        print(frame.to_json(orient="records"))
        return
    for number, rows in frame.groupby("history"):
        unknown, fallback = rows.iloc[0][["unknown", "fallback"]]
        notes = f"   ({unknown} unknown items dropped)" * bool(
            unknown
        ) + "   (nothing known in it: the most popular items)" * bool(fallback)
        print(f"history {number + 1}: {options.history[number] or 'empty'}{notes}")
        print(rows[["rank", "item", "score"]].to_string(index=False, float_format="{:.3f}".format))
