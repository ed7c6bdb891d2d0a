"""The image model, readers and writers of image formats, merged archives and exported root file systems."""
