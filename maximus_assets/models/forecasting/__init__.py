"""Demand forecasting: methods, the backtest that judges them, conformal intervals, and the choice for each series.

A new method is one file with a class that meets `base.Forecaster`, listed in `methods.METHODS`; the conformance suite
then runs on it. `base` shows how to start.
"""
