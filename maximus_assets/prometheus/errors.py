"""What can go wrong with a Prometheus server, by what to do next."""

from maximus_assets.contracts.errors import Permanent, Retryable


class ServerUnavailableError(Retryable):
    """The server is down, slow, overloaded, or its answer was cut off; it may be back soon."""


class QueryRefusedError(Permanent):
    """The server does not accept the query: it does not parse, or it would load too much."""


class NotPrometheusError(Permanent):
    """What answers is no Prometheus server, or one whose answers have another form."""


class AccessRefusedError(Permanent):
    """The server does not accept our credentials, or their file cannot be read."""


class TooMuchDataError(Permanent):
    """The answer has more points or bytes than we take in."""


class AmbiguousSeriesError(Permanent):
    """Two series have the labels of one target: which is meant is not ours to guess."""
