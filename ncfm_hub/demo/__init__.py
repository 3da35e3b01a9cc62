"""The main job from end to end on small real data, as `make demo` runs it: `python -m ncfm_hub.demo`."""
