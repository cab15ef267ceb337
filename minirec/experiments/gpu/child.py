"""The process of one stage: `python -m minirec.experiments.gpu.child STAGE ...`."""

import argparse
from pathlib import Path

from minirec.experiments.gpu.job import Job, LeftOutError
from minirec.experiments.gpu.stages import STAGES


def main(arguments: list[str] | None = None) -> None:
    """Do one stage's work in this process, as `director` asks for it."""
    parser = argparse.ArgumentParser(prog="python -m minirec.experiments.gpu.child")
    parser.add_argument("stage", choices=[stage.name for stage in STAGES])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--until", type=float, required=True)
    parser.add_argument("--began", type=float, required=True)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--data-home")
    options = parser.parse_args(arguments)

    job = Job(
        folder=options.folder,
        results=options.results,
        until=options.until,
        began=options.began,
        dry_run=options.dry_run,
        data_home=options.data_home,
    )
    (stage,) = [stage for stage in STAGES if stage.name == options.stage]
    try:
        stage.module.run(job)
    except LeftOutError as error:
        job.say(str(error))
        job.note(left_out=str(error))


if __name__ == "__main__":
    main()
