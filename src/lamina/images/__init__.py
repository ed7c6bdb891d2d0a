"""The image model, and what is made of finished images: merged archives and exported root file systems."""
