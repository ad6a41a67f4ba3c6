"""What drift can be judged on, and how each is read."""
