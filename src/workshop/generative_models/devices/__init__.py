"""Devices and processes: how arrays lie on several, how processes meet, how one is stopped."""
