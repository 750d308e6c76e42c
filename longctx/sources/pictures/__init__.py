"""Pictures and pages of documents, as they look: probed, decoded and resized in the worker process."""
