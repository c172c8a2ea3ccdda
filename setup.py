"""Make gen/ before setuptools looks for packages, so that a wheel and an editable install hold the contracts."""

import sys
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "proto"))

from generate import generate  # noqa: E402 - it is found only after the path has been set

generate(ROOT / "gen")
setup()
