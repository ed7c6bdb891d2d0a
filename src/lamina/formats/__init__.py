"""Parsers and writers of every format: NAR, tar, narinfo, the JSON of images, closure graphs, channel lists.

The modules are pure. They turn bytes into values and values into bytes, and read no file, clock or environment.
"""
