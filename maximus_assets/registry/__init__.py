"""The registry between learning and acting: MLflow, and nothing above it knows that it is MLflow.

`tracking` speaks to it, `packaging` puts a learnt forecaster into it, `promotion` moves its aliases (nothing else does).
"""
