"""The parts of `benchmarks.forecast`: reading series, the plain methods beside ours, the figures, the M4 competition."""
