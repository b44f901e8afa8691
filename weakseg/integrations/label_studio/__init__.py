"""Trained networks as a machine learning backend of Label Studio: `python -m
weakseg.integrations.label_studio run=runs/boxes/latest images=photos`."""
