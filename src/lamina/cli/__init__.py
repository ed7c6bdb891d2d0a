"""The command line: one file per command, typed options → library calls → print.

Only this room reads the arguments, the terminal and the environment, except for what the network and scripts take from
the environment by convention. Only this room catches every exception.
"""
