"""Facts of this computer: cores, memory, GPUs, disks, MPI libraries, and the launcher of this process.

Import its modules one by one: the launcher must be known before torch and MPI are loaded.
"""
