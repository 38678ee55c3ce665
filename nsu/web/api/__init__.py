"""REST, version 1: what programs ask and order. The document is at /api/v1/openapi.json."""
