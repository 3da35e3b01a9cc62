"""What this computer can do: device, precision, processes, and C++ built for it."""
