"""The simulated service: what the product watches where there is nothing real to watch, and what tests disturb.

Everything it shows is a pure function of a seed and an absolute instant, so history read in bulk and values read live
are the same values. Reading it belongs here; storing, judging or learning from what it shows does not.
"""
