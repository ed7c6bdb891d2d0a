"""Reads and writes the files of a binary cache in a folder, over HTTP and in S3.

Invariant: a file that is absent is distinguished from one that could not be read. What is read is limited in bytes and
in time, what is written appears completely or not at all, and no message contains credentials.
"""
