"""The command upscale: photographs and rasters made larger."""
