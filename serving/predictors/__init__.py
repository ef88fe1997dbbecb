"""What is expected: the promoted model, pulled from the registry by alias, and what it says of the live windows.

Nothing here learns or computes a feature; raw grid windows go in, forecasts come out. Without a champion there is no
forecast, and that is said: code that was never promoted is never run in its place.
"""
