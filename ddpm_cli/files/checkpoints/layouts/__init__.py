"""How networks lie in files of other programs, where several formats share it."""
