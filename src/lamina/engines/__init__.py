"""Container engines on this machine, through their own command-line programs: docker, podman and containerd's ctr.

An engine takes an image in one of two ways. It *pulls* the image from a registry on a loopback address, and asks only
for the layers that it lacks. Or it *loads* an archive, which contains all layers.
"""
