"""The machine: device, precision, processes and native kernels."""
