"""Gates: pure functions from evidence to a Verdict. They decide nothing but whether a bound holds, and say by how much."""
