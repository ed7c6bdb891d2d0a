"""Models images, and turns finished images into merged archives and exported root file systems."""
