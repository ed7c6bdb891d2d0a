"""Read and write the files of a binary cache in a folder, over HTTP and in S3.

An absent file is distinguished from a file that could not be read. Every read has a limit in bytes and in time, a
written file appears completely or not at all, and no message contains credentials.
"""
