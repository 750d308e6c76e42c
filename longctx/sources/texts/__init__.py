"""Text of any kind as segments: decoded, cut, without junk and secrets."""
