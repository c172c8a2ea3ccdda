"""Speed as ratios to a raw limit that is measured in the same run on the same machine.

`make bench` runs all of them; `python -m benchmarks NAME…` some.
"""
