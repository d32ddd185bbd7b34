"""lossgrid: loss surfaces L(theta* + alpha delta + beta eta) of trained networks, computed by MPI ranks."""
