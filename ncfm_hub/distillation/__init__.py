"""The loop that makes the images, and the state it keeps."""
