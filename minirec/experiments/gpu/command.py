"""The command itself: its flags, and what it prints.

python -m minirec.experiments.gpu --minutes 9 --out DIR
"""

import argparse
import importlib
import signal
import sys
import time
from pathlib import Path

import torch

from minirec.experiments.benchmarks.systems import SYSTEMS
from minirec.experiments.gpu import director
from minirec.experiments.gpu.stages import STAGES, chosen_stages

PROGRAM = "python -m minirec.experiments.gpu"
DRY_RUN_MINUTES = 10.0  # more than enough: it takes less than one on two quiet cores


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list of str, optional
        The words after the program's name; those of this process unless given.

    Returns
    -------
    int
        The exit status: 0, 1 where a stage failed or a step could not be proved, 2 for flags that
        make no sense, 130 for Ctrl-C.
    """
    began = time.time()
    if arguments is None:
        arguments = sys.argv[1:]
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.prove:
        return 0 if prove() else 1
    if options.out is None:
        parser.error("--out DIR is needed: the folder of the results")
    if not options.dry_run and not torch.cuda.is_available():
        parser.error("this PyTorch sees no CUDA GPU; --dry-run does everything small, on a CPU")

    minutes = options.minutes
    if minutes is None:
        minutes = DRY_RUN_MINUTES if options.dry_run else 9.0
    plan = director.Plan(
        out=options.out,
        stages=chosen_stages(options.stages),
        minutes=minutes,
        dry_run=options.dry_run,
        data_home=options.data_home and str(Path(options.data_home).expanduser().resolve()),
        resume=options.resume or options.out,
        command=[*PROGRAM.split(), *arguments],
    )

    # `timeout` and schedulers end a program in this way; what was found has to be written first.
    usual_handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    prefix = "dry run on a CPU: " if plan.dry_run else ""
    try:
        all_well = director.run(plan, began, lambda line: print(prefix + line, flush=True))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, usual_handler)
    return 0 if all_well else 1


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the command's flags."""
    titles = "; ".join(f"{stage.number} {stage.title}" for stage in STAGES)
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Do everything that is worth doing on a GPU in a few minutes, the most "
        "valuable first: tests, training, profiles, kernels, notebooks, the papers' tables.",
        epilog=f"Stages: {titles}.",
    )
    parser.add_argument(
        "--minutes", type=float, help="for everything, the start included (default 9)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the folder of the results")
    parser.add_argument(
        "--stages", type=_numbers, metavar="1,2", help="only these, in their own order"
    )
    parser.add_argument(
        "--data-home", help="where data sets lie (default: the folder MINIREC_DATA, then data/)"
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="the results of an earlier call, whose training runs are done, and whose unfinished "
        "one goes on (default: those in --out)",
    )
    parser.add_argument("--dry-run", action="store_true", help="everything small, on a CPU")
    parser.add_argument(
        "--prove",
        action="store_true",
        help="only prove, without a GPU, that each system's training step has fixed shapes and "
        "never waits for the host",
    )
    return parser


def _numbers(text: str) -> list[int]:
    """Read "1,2" as the numbers of stages."""
    known = {str(stage.number) for stage in STAGES}
    words = text.split(",")
    if not set(words) <= known:
        raise argparse.ArgumentTypeError(f"stages are numbers from 1 to {len(known)}; got {text!r}")
    return [int(word) for word in words]


def prove() -> bool:
    """Print the proof for each system, a line each; return whether all could be proved."""
    proof = importlib.import_module("minirec.experiments.proof")
    all_proved = True
    for name in SYSTEMS:
        try:
            line = proof.prove(name)
        except Exception as error:  # whatever stops the trace: the line says it, the rest go on
            all_proved = False
            first = str(error).partition("\n")[0]
            line = f"{name}: NOT proved: {type(error).__name__}: {first}"
        print(line, flush=True)
    return all_proved
