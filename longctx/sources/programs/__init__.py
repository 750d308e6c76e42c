"""What programs define and use: by a parser in the worker process, or by their look; their signatures and their rank."""
