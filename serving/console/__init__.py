"""The console: what operators see and change while pages are served."""
