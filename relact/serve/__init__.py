"""The web service and the live view."""
