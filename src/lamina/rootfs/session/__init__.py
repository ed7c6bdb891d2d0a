"""Programs that run beside a customisation script: they start, confine and end it, and list the files that it left.

These modules run in a separate Python process, often inside a sandbox that does not show the rest of lamina, so they
import only the standard library and one another. `lamina.rootfs.session_programs` copies them to a folder that a
sandbox can show.
"""
