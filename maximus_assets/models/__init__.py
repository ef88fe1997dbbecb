"""Things that learn. Training libraries are imported here and in no room that serves."""
