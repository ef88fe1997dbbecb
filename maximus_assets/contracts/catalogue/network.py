"""Sensors of the network: how much, how fast, and what was damaged, dropped or sent again."""

from typing import Final

from maximus_assets.contracts.catalogue.declare import HOST, IDLE_OR_FULL, SOON, TERABYTE, declare, host_rate
from maximus_assets.contracts.sensors import Category, Sensor

_NETWORK: Final = Category.NETWORK

NETWORK: Final[tuple[Sensor, ...]] = (
    host_rate(
        "network_receive_bytes_per_second", _NETWORK, "bytes_per_second", "Bytes received.", maximum=TERABYTE
    ),
    host_rate(
        "network_transmit_bytes_per_second", _NETWORK, "bytes_per_second", "Bytes sent.", maximum=TERABYTE
    ),
    declare(
        "network_bandwidth_used_ratio",
        _NETWORK,
        "ratio",
        "Busier direction of the busiest card, of its link's speed.",
        *HOST,
        kind="rate",
        thresholds=(0.7, 0.9),
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    ),
    host_rate(
        "network_packets_per_second", _NETWORK, "per_second", "Packets received and sent.", maximum=1e10
    ),
    host_rate(
        "network_errors_per_second",
        _NETWORK,
        "per_second",
        "Packets damaged, received or sent.",
        maximum=1e9,
        thresholds=(1.0, 100.0),
    ),
    host_rate(
        "network_drops_per_second",
        _NETWORK,
        "per_second",
        "Packets dropped, received or sent.",
        maximum=1e9,
        thresholds=(10.0, 1000.0),
    ),
    host_rate(
        "network_loss_ratio",
        _NETWORK,
        "ratio",
        "TCP segments sent again, of all that were sent: what the network lost.",
        thresholds=(0.02, 0.1),
    ),
    host_rate(
        "network_resets_per_second",
        _NETWORK,
        "per_second",
        "TCP connections that were open and got reset.",
        maximum=1e9,
    ),
    host_rate(
        "network_refused_per_second",
        _NETWORK,
        "per_second",
        "TCP connections dropped because a listener's queue was full.",
        maximum=1e9,
        thresholds=(0.1, 10.0),
    ),
    declare(
        "network_connections_count",
        _NETWORK,
        "count",
        "TCP connections open.",
        *HOST,
        maximum=1e9,
    ),
    declare(
        "network_latency_ms",
        _NETWORK,
        "ms",
        "Round trip to the target as a prober saw it.",
        "prometheus",
        maximum=1e6,
        thresholds=(100.0, 1000.0),
        frozen=SOON,
    ),
)
"""In the order in which they are shown."""
