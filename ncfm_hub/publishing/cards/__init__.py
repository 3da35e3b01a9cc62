"""Cards of datasets and pools: generated content, merged with what people wrote."""
