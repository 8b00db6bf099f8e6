"""What both long-running commands share: jobs that are kept running, readiness, probes, signals and the end."""
