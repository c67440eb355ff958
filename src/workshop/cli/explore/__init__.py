"""`workshop explore`: a run on a page in the browser, on this machine."""
