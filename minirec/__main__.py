"""`python -m minirec`, the same as `minirec`."""

import sys

from minirec.cli import main

if __name__ == "__main__":
    sys.exit(main())
