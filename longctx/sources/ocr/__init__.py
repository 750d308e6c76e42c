"""Text in pictures, pages and frames, recognised in the worker process, kept on disk, and told by place or by time."""
