"""C++ for ConvNets on CPUs, and what calls it."""
