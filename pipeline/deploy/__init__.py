"""The same DAG and models elsewhere: Kubeflow Pipelines, Vertex AI and Beam's workers."""
