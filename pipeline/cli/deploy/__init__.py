"""`homefeed deploy …`: the same pipeline and models on Kubeflow, Vertex AI and Kubernetes."""
