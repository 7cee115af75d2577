"""The machine: device, cores, memory, files that are there whole or not at all."""
