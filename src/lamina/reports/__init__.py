"""Reports: one self-contained HTML page about a plan, or about the differences between two images.

A page loads nothing and names no other host: its styles, scripts and data are in the file, and its content security
policy allows only these. The same input gives the same bytes. The pages show their figures without JavaScript; scripts
add what a change of a store path re-sends, search and filters.
"""
