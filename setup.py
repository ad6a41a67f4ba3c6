"""The distribution `homefeed`: one import package, whose rooms are folders at the top of the repository."""

from setuptools import find_packages, setup

DASK = ["dask>=2024.4.2", "distributed>=2024.4.2"]  # As Beam 2.72 wants them.
KAFKA = ["confluent-kafka>=2.6,<3"]
KUBEFLOW = ["kfp>=2.13,<2.14"]
SPARK = ["pyspark>=3.5,<3.6"]  # And, without what it pins (Beam 2.48), beam-pyspark-runner.
VERTEX = ["google-cloud-aiplatform>=1.100,<2"]

setup(
    name="homefeed",
    version="0.1.0",
    description="From three tables to a served, personal home page: TFDV, TFRS, KerasNLP, TensorFlow Serving",
    license="Apache-2.0",
    python_requires=">=3.11,<3.12",  # TFDV's wheels for glibc 2.36 end at 3.11.
    packages=find_packages(include=["homefeed", "homefeed.*"]),  # `homefeed/` holds links to the rooms.
    package_data={
        "homefeed.schemas": ["*.pbtxt"],
        "homefeed.serving.deploy": ["templates/**/*.j2"],
        "homefeed.serving.web": ["*.j2", "console/*.j2", "*.css", "*.js"],
    },
    install_requires=[
        "apache-beam>=2.72,<2.73",  # 2.73 wants protobuf 5, TensorFlow 2.16 wants 4.
        "dill>=0.4,<0.5",  # tfx-bsl imports it and does not say so.
        "fastapi>=0.165,<1",
        "fsspec>=2024.2",
        "grpcio>=1.62,<2",
        "grpcio-health-checking>=1.62.3,<1.63",  # Later ones want protobuf 5.
        "grpcio-reflection>=1.62.3,<1.63",
        "homefeed-client",  # serving/client of this repository: install both with one command.
        "httptools>=0.6",  # With uvloop, what uvicorn is quick with.
        "itsdangerous>=2.2,<3",
        "jinja2>=3.1,<4",
        "keras-nlp>=0.31,<0.32",
        "ml-metadata>=1.17,<1.18",
        "numpy>=1.26,<2",
        "optuna>=4,<6",
        "orjson>=3.10,<4",
        "packaging>=23",
        "pandas>=1.5,<2",
        "prometheus-client>=0.20,<1",
        "protobuf>=4.25,<5",
        "pyarrow>=10,<11",
        "pydantic>=2.7,<3",
        "pyyaml>=6,<7",
        "redis>=6,<9",
        "rich>=13",
        "safetensors>=0.4,<1",
        "scipy>=1.11,<2",
        "tensorflow>=2.16.2,<2.17",
        "tensorflow-data-validation>=1.16.1,<1.17",
        "tensorflow-recommenders>=0.7.7,<0.8",
        "tensorflow-serving-api>=2.16.1,<2.17",
        "tensorflow-text>=2.16.1,<2.17",
        "tf-keras>=2.16,<2.17",
        "tfx-bsl>=1.16.1,<1.17",
        "typer>=0.12,<1",
        "uvicorn>=0.34,<1",
        "uvloop>=0.21",
    ],
    extras_require={
        "dev": [
            *KAFKA,
            *KUBEFLOW,
            *VERTEX,
            "cryptography>=42",
            "grafana-foundation-sdk",
            "grpcio-tools>=1.62.3,<1.63",
            "hypothesis>=6,<7",
            "mypy>=1.11",
            "pre-commit>=4",
            "promql-parser>=0.11,<1",
            "psutil>=6",
            "pytest>=8",
            "pytest-cov>=6",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            "types-PyYAML>=6",
            "vowpalwabbit>=9.11,<10",
        ],
        "dask": DASK,
        "kafka": KAFKA,
        "kubeflow": KUBEFLOW,
        # What `benchmarks.retrieval_index` compares with.
        "scann": ["scann>=1.3.2,<1.4"],
        "spark": SPARK,
        # What tries the home page in `make strangers`, beside programs of other languages.
        "strangers": ["axe-playwright-python>=0.1.8,<1", "playwright>=1.65,<2", "schemathesis>=4.32,<5"],
        "vertex": VERTEX,
    },
    entry_points={
        "console_scripts": [
            "homefeed = homefeed.pipeline.cli.start:start",
            "homefeed-model-server = homefeed.serving.model_server.main:main",
        ]
    },
)
