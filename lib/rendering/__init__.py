"""Parametric faces with exact FACS labels: geometry, skin, light and camera, all without
OpenGL."""
