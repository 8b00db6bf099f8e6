"""`python -m demo`, from the root of a checkout: `make demo`."""

import argparse
import sys

from demo.run import run_demo
from receiver.errors import ConfigurationError

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="demo", description="The whole point: two apps, one OP, one logout.")
    parser.add_argument("--once", action="store_true", help="play the story, print it, and exit")
    try:
        sys.exit(run_demo(once=parser.parse_args().once))
    except ConfigurationError as error:
        sys.exit(f"demo: {error.message}")
