"""What the machine offers."""

from mdsa.utils.hardware import HardwareDetector, get_hardware_info

__all__ = ["HardwareDetector", "get_hardware_info"]
