"""What people see: the template of the home page, its words, style and script. No outside asset, no build step."""
