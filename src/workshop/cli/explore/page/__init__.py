"""The page itself, in NiceGUI. What it shows is computed one layer below, and tested there."""
