"""Video: what is in a file, its frames by their exact times, by PyAV or decord, and subtitles."""
