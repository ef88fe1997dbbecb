"""How much capacity a demand needs: pure functions of figures.

No I/O, no clock, no knowledge of the plant or of any service; the loop plans with it, and so may a replay.
"""
