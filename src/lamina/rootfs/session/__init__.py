"""The programs that run beside a customisation script: they start it, confine it, end it and list what it left.

These modules run in a Python of their own, often inside a sandbox that shows nothing else of lamina. They import the
standard library and one another, nothing more; `lamina.rootfs.session_programs` copies them to where a sandbox can show
them.
"""
