from srcli import errors as errors
from srcli.models.loading import load_model as load_model
from srcli.pipelines.upscale.array import upscale as upscale

__version__: str
__all__ = ["__version__", "load_model", "upscale"]
