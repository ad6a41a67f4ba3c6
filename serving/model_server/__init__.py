"""A model server that speaks TensorFlow Serving's gRPC and REST API and takes its command line.

Run it with `python -m homefeed.serving.model_server --port=8500 --model_name=m --model_base_path=/models/m`.
"""
