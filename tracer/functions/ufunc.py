"""Methods of ufuncs, and ufuncs with several results."""
