"""What a user's package adds to lossgrid: each in a file of its own, named on the command line."""
