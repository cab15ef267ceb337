"""Everything that is worth doing in a GPU's few minutes, as one command.

    python -m minirec.experiments.gpu --minutes 9 --out DIR

Its stages, the most valuable first, stand in stages.py. Each is a module beside this file and runs
in a process of its own, so that a crash, a hang or a broken GPU context ends that stage and no
other:

    command.py     the flags
    stages.py      the stages and their shares of the minutes
    director.py    starts each stage, gives it its time, ends it, and goes on
    child.py       the process of one stage
    job.py         what a stage is given, and where it notes what it finds
    files.py       what lies in DIR: written anew, and whole, after every stage
    collect.py     files what came back among the project's records

The command needs the project's folder alone, not an installed project. What a machine lacks is left
out, and named.
"""
