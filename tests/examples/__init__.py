"""The programs in `examples/`, as processes of their own, against the simulator and a broker."""
