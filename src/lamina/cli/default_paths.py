"""Where lamina keeps its files for a user."""

from __future__ import annotations


def get_default_layer_cache() -> str:
    """Return the file of the default layer cache, in the user's cache folder."""
    from platformdirs import user_cache_path

    from lamina.layer_cache.files import FILE_NAME

    return str(user_cache_path("lamina", appauthor=False) / FILE_NAME)


def get_default_blob_cache() -> str:
    """Return the folder of the blobs of base images in registries, in the user's cache folder."""
    from platformdirs import user_cache_path

    return str(user_cache_path("lamina", appauthor=False) / "blobs")


def get_default_embedded_store() -> str:
    """Return the folder of the embedded store, in the user's data folder."""
    from platformdirs import user_data_path

    return str(user_data_path("lamina", appauthor=False) / "store")


def get_default_channel_lists() -> str:
    """Return the folder of the downloaded channel lists, in the user's cache folder."""
    from platformdirs import user_cache_path

    return str(user_cache_path("lamina", appauthor=False) / "channels")
