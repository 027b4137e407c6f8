"""The command ``srx upscale``: photographs and rasters."""
