"""Charts of the window: pyqtgraph plots in the theme's colours and font."""
