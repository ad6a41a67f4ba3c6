"""Components so small that the runner's own behaviour is all there is to see."""
