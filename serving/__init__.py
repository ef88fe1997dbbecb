"""Acting: the live loop, the gateway, and what they stand on. Learnt behaviour comes in through the registry only."""
