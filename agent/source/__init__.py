"""The primary side of a protection: views become segments, segments reach the target, acknowledgements move marks."""
