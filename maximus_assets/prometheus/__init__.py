"""Prometheus as the product reads it and speaks to it: queries, answers, recipes, and a push for jobs that end.

Belongs here: everything that knows PromQL or the HTTP API, once, for the loop and for learning alike. Does not: frames
(`telemetry`), turns (`serving.monitor`), our own instruments (`serving.observability`).
"""
