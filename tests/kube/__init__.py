"""The chart in a real cluster: `make kube`, outside of CI."""
