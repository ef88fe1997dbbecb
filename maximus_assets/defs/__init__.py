"""Thin Dagster wrappers, one module for each stage of the flow; and what turns it: schedules, sensors, conditions.

A module here gets a resource, calls a room below, and says what came of it. Anything worth testing without Dagster is in
that room. Importing this package imports no Dagster: `first_run` decides whether there is anything to do before it pays
for that.
"""
