"""One file a panel; `app.qt.panel.Panel` says what a panel is."""
