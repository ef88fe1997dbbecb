"""What crosses a process or a store: frozen types, the sensor catalogue, names. Nothing heavier.

No room of either package is imported here, and no library but pydantic and the canonical-JSON digest.
"""
