"""From a Python function to IR: dispatch, source rewriting, views and staging."""
