"""Files whatever they hold: formats, forms that several kinds share, finished parts."""
