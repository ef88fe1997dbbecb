"""Seeing: sources that are read every turn, the window of the recent past, and the present reading of each sensor.

Nothing here forecasts, judges or decides. A source that fails leaves a gap, and a gap stays a gap until the sensor's
own missing-data policy says what stands in for it.
"""
