"""HTTP: bytes of requests in, bytes of replies out. What they mean is the dialects' business."""
