"""The control loop: who leads, what one turn does, and what keeps it turning."""
