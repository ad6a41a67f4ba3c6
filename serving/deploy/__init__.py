"""Deploy files, rendered from what was pushed: Docker, Kubernetes, KServe, Prometheus, Grafana."""
