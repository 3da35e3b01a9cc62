"""Push a folder to the Hub and verify the upload."""
