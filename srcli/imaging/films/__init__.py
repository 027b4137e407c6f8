"""Videos: read, written in segments, and joined with sound and subtitles."""
