"""Models of timm and transformers, unmodified, on boxes: `make test-zoo`."""
