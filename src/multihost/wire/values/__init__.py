"""Values and keys as the bytes that a server keeps."""
