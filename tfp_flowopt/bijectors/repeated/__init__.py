"""Steps of one shape, applied in turn in the memory of one."""
