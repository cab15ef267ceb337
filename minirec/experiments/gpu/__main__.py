"""`python -m minirec.experiments.gpu`."""

import sys

from minirec.experiments.gpu.command import main

if __name__ == "__main__":
    sys.exit(main())
