"""Pictures of the package's dataclasses: matches and trajectories."""
