"""Many images in one batch, on this machine or on a Dask cluster."""
