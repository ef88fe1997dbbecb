"""The GPUs of this host through NVML, as a source.

NVML is a library that comes with NVIDIA's driver. Where it is missing, or there is no GPU, that is said once and the
source has no sensors at all: a machine without a GPU has no idle GPU. Figures are over all GPUs; when one of them does
not answer, the sensor has no value this time, for a sum over the others would look like a fall.

Source: NVML API Reference (nvmlDeviceGetUtilizationRates in percent, nvmlDeviceGetMemoryInfo in bytes,
nvmlDeviceGetTemperature in degrees Celsius, nvmlDeviceGetPowerUsage in milliwatts).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import structlog

from maximus_assets.contracts.telemetry import Sample, Series
from serving.monitor.instruments import AbsentError, Instruments, Reader
from serving.monitor.source import History

_log = structlog.get_logger("maximus.monitor")

_GPU_SENSOR: Final = 0
"""NVML_TEMPERATURE_GPU: the die, not the memory."""


class Nvml(Protocol):
    """Port: the part of NVML that is used, under NVML's own names. A device is an opaque handle."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None:  # noqa: N802
        """Load the driver's library."""
        ...

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        """How many GPUs there are."""
        ...

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:  # noqa: ANN401, N802
        """One of them."""
        ...

    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any:  # noqa: ANN401, N802
        """`gpu`: percent of the last sampling period in which a kernel ran."""
        ...

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:  # noqa: ANN401, N802
        """`used` and `total`, bytes."""
        ...

    def nvmlDeviceGetTemperature(self, handle: Any, sensor: int) -> int:  # noqa: ANN401, N802
        """Degrees Celsius."""
        ...

    def nvmlDeviceGetPowerUsage(self, handle: Any) -> int:  # noqa: ANN401, N802
        """Milliwatts."""
        ...


class GpuSource:
    """Reads every GPU of the host.

    Args:
        target: The host's name.
        nvml: NVML, the driver's own unless given.
    """

    name = "gpu"

    def __init__(self, target: str, nvml: Nvml | None = None) -> None:
        self._target = target
        self._nvml = _driver() if nvml is None else nvml
        self.absence = ""
        """Why there are no GPUs here, in words; empty where there are."""

        self._devices = self._find()
        readers: dict[str, Reader] = {}
        if self._devices:
            readers = {
                "gpu_count": lambda: float(len(self._devices)),
                "gpu_used_ratio": lambda: _mean(self._each(self._utilization)),
                "gpu_busiest_ratio": lambda: max(self._each(self._utilization)),
                "gpu_memory_used_bytes": lambda: sum(self._each(lambda gpu: self._memory(gpu)[0])),
                "gpu_memory_limit_bytes": lambda: sum(self._each(lambda gpu: self._memory(gpu)[1])),
                "gpu_memory_used_ratio": lambda: max(self._each(self._memory_ratio)),
                "gpu_temperature_celsius": lambda: max(
                    self._each(lambda gpu: float(self._nvml.nvmlDeviceGetTemperature(gpu, _GPU_SENSOR)))
                ),
                "gpu_power_watts": lambda: sum(
                    self._each(lambda gpu: self._nvml.nvmlDeviceGetPowerUsage(gpu) / 1000.0)
                ),
            }
        self._instruments = Instruments(target, readers)

    def _find(self) -> Sequence[Any]:
        """Handles of the GPUs; none where NVML is missing or finds none, and then why is said, once."""
        try:
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
            devices = [self._nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        except self._nvml.NVMLError as error:
            devices, self.absence = [], str(error)
        else:
            self.absence = "" if devices else "NVML finds no GPU"
        if self.absence:
            _log.info("no_gpu", target=self._target, reason=self.absence)
        return devices

    @property
    def sensors(self) -> dict[str, tuple[str, ...]]:
        """Every GPU sensor where there is a GPU, else nothing."""
        return {self._target: self._instruments.sensors} if self._devices else {}

    @property
    def absences(self) -> Counter[tuple[str, str]]:
        """How often each (sensor, reason) was absent."""
        return self._instruments.absences

    async def collect(self, now: datetime) -> list[Sample]:
        """Read every GPU, off the event loop; a driver that hangs cannot hold up the turn."""
        if not self._devices:
            return []
        return await asyncio.to_thread(self._instruments.read, now)

    async def history(self, series: Series, start: datetime, end: datetime) -> History | None:  # noqa: ARG002
        """None: the driver keeps no past worth asking for."""
        return None

    def _each(self, ask: Callable[[Any], float]) -> list[float]:
        """The figure of every GPU.

        Raises:
            AbsentError: One of them does not tell.
        """
        try:
            return [float(ask(gpu)) for gpu in self._devices]
        except self._nvml.NVMLError as error:
            raise AbsentError(str(error)) from error

    def _utilization(self, gpu: Any) -> float:  # noqa: ANN401
        return float(self._nvml.nvmlDeviceGetUtilizationRates(gpu).gpu) / 100.0

    def _memory(self, gpu: Any) -> tuple[float, float]:  # noqa: ANN401
        memory = self._nvml.nvmlDeviceGetMemoryInfo(gpu)
        return float(memory.used), float(memory.total)

    def _memory_ratio(self, gpu: Any) -> float:  # noqa: ANN401
        used, total = self._memory(gpu)
        if total <= 0:
            raise AbsentError("a GPU says that it has no memory")
        return used / total


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _driver() -> Nvml:
    """The binding to the driver's library; importing it loads nothing yet."""
    import pynvml

    module: Nvml = pynvml
    return module
