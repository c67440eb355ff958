"""Several devices and several processes as one: how arrays lie, and how processes meet."""
