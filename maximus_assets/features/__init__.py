"""Windows to numbers: the grid, calendar columns, the feature table.

The same code runs in training and inside the shipped model, so it needs no training library, and what the shipped model
imports (`calendar`) needs numpy alone.
"""
