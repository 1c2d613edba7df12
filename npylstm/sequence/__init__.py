"""The loop over time, and layers that map whole sequences."""
