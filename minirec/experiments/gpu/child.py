"""The process of one stage: `python -m minirec.experiments.gpu.child STAGE ...`.

It imports what it needs, then reads one line: when the stage began, and when it should be over.
"""

import argparse
import sys
from pathlib import Path

from minirec.experiments.gpu.job import Job, LeftOutError, swept_chunks
from minirec.experiments.gpu.stages import STAGES
from minirec.scan.chunking import chunking


def main(arguments: list[str] | None = None) -> None:
    """Do one stage's work in this process, as `director` asks for it."""
    parser = argparse.ArgumentParser(prog="python -m minirec.experiments.gpu.child")
    parser.add_argument("stage", choices=[stage.name for stage in STAGES])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--data-home")
    options = parser.parse_args(arguments)

    (stage,) = [stage for stage in STAGES if stage.name == options.stage]
    module = stage.module  # imports what takes seconds
    go = sys.stdin.readline().split()
    if not go:
        return  # whoever started this has gone
    began, until = [float(moment) for moment in go]
    job = Job(
        folder=options.folder,
        results=options.results,
        until=until,
        began=began,
        dry_run=options.dry_run,
        data_home=options.data_home,
    )
    try:
        # Captured steps take the chunks that were found best, once they have been looked for.
        with chunking(table=swept_chunks(options.folder.parent)):
            module.run(job)
    except LeftOutError as error:
        job.say(str(error))
        job.note(left_out=str(error))


if __name__ == "__main__":
    main()
