"""What this computer has: cores, memory, GPUs, disks, MPI libraries, and what started this process.

Import its modules one by one: the launcher must be known before torch and MPI are loaded.
"""
