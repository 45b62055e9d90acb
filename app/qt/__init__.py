"""The window. The only package that imports PyQt6; it shows what `app.view` holds."""
