"""Getting observations in, whole and honest: readers to one frame, and tests of what was read.

Readers turn a file, the metrics table or the simulated service into telemetry frames; the quality tests judge frames.
Nothing here repairs, fills or resamples: what cannot be accepted is refused with its place, and what is missing stays
missing.
"""
