"""The command line: one file per command, typed arguments → library calls → print.

Invariant: only here are the environment, the arguments and the terminal looked at, and only here is everything caught.
"""
