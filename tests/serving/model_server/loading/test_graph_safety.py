"""A published model cannot read, write, connect or call Python: at a request, at its load, in text form or not."""

import contextlib
import pathlib
import re
import shutil
import socket
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from homefeed.serving.model_server.errors import Code, StatusError
from homefeed.serving.model_server.loading import safety, servable
from homefeed.serving.model_server.loading.allowed_ops import ALLOWED_OPS
from tests.serving.conftest import Models
from tests.serving.model_server.loading import hostile
from tests.serving.servers import (
    ServerProcess,
    Stubs,
    column,
    eventually,
    fails,
    predict_request,
    running_server,
    server_process,
)

# Words that stand in the names of arguments which take a file, an address, Python or a graph from elsewhere.
WORDS = re.compile(
    "file|path|pattern|prefix|basename|address|target|url|uri|host|port|directory|dir|descriptor|server|command|token"
    "|driver|database|memory_region|service|protocol|device|logdir|debug|stream|handler|graph_def|module|checkpoint"
)
# Read one by one: the argument is no file and no address.
HARMLESS = {
    "ApproxTopK": "recall_target, a fraction",
    "CTCBeamSearchDecoder": "top_paths, a number",
    "DeviceIndex": "device_names, of this process",
    "InTopK": "targets, class numbers",
    "InTopKV2": "targets, class numbers",
    "ParseSequenceExample": "debug_name, for its errors",
    "ParseSequenceExampleV2": "debug_name, for its errors",
    "ParseSingleSequenceExample": "debug_name, for its errors",
    "RegexFullMatch": "pattern, a regular expression",
    "RegexReplace": "pattern, a regular expression",
    "ShardedFilename": "puts a name together",
    "ShardedFilespec": "puts a name together",
    "StaticRegexFullMatch": "pattern, a regular expression",
    "StaticRegexReplace": "pattern, a regular expression",
    "VarHandleOp": "allowed_devices, of this process",
}


def registry() -> list[Any]:
    """Every OpDef of the library that the server runs."""
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    return list(op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())).op)


def takes_something_from_outside(op: Any) -> bool:
    return any(WORDS.search(argument.name.lower()) for argument in (*op.input_arg, *op.attr))


def test_no_allowed_op_takes_a_file_an_address_or_python(tf: Any) -> None:
    ops = {op.name: op for op in registry()}
    assert ops.keys() >= ALLOWED_OPS
    suspects = {name for name in ALLOWED_OPS if takes_something_from_outside(ops[name])}
    assert suspects == HARMLESS.keys()


def refusal(graph: Any, path: pathlib.Path, **meta_graph: Any) -> StatusError:
    """Why a SavedModel with this graph is refused."""
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = proto.meta_graphs.add(graph_def=graph, **meta_graph)
    meta.meta_info_def.tags.append("serve")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(proto.SerializeToString())
    with pytest.raises(StatusError) as raised:
        safety.check(path, path.parent)
    assert raised.value.code is Code.PERMISSION_DENIED
    return raised.value


def test_every_op_that_takes_a_file_an_address_or_python_is_refused_wherever_it_stands(
    tf: Any, tmp_path: pathlib.Path
) -> None:
    from tensorflow.core.framework import graph_pb2

    suspects = [op.name for op in registry() if takes_something_from_outside(op) and op.name not in HARMLESS]
    assert len(suspects) > 100
    for op in suspects:
        in_the_graph = graph_pb2.GraphDef()
        in_the_graph.node.add(name="n", op=op)
        in_a_function = graph_pb2.GraphDef()
        function = in_a_function.library.function.add()
        function.signature.name = "never_called"
        function.node_def.add(name="n", op=op)
        for graph in (in_the_graph, in_a_function):
            assert op in refusal(graph, tmp_path / "m").message


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[str, list[Any]]]:
    """An address, and who connected to it."""
    connections: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def accept() -> None:
            while True:
                try:
                    connections.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}", connections
        server.shutdown(socket.SHUT_RDWR)
    for connection in connections:
        connection.close()


READS = ("MatchingFiles", "ReadFile", "InitializeTableFromTextFileV2", "TextLineDataset", "CSVDataset", "RestoreV2")
CONNECT = ("DataService", "Register", "Rpc")
# Also at the load, and in a branch: where a model hides them matters not, so a few stand for all.
ELSEWHERE = ("WriteFile", "PrintV2", "SaveV2", "InitializeTableFromTextFileV2", "DebugIdentity", "TextLineDataset")


class Arena:
    """The attacks as models that are ready to be published; each has a folder of its own to write to."""

    def __init__(self, tf: Any, root: pathlib.Path, address: str) -> None:
        self.root = root
        secret = hostile.make_secrets(tf, root / "secrets")
        names = hostile.attacks(hostile.Spot(tf, secret, root, address))
        self.models = {f"{name}-request": "request" for name in names}
        self.models |= {f"{name}-{where}": where for name in ELSEWHERE for where in ("load", "branch")}
        for model, where in self.models.items():
            self.folder(model).mkdir(parents=True)
            spot = hostile.Spot(tf, secret, self.folder(model), address)
            hostile.save(spot, model.split("-")[0], root / "models" / model, where)
        self.clear()

    def folder(self, model: str) -> pathlib.Path:
        return self.root / "written" / model

    def clear(self) -> None:
        for path in (self.root / "written").iterdir():
            shutil.rmtree(path)
            path.mkdir()

    def written(self) -> set[str]:
        return {path.name for path in (self.root / "written").iterdir() if any(path.iterdir())}

    def publish(self, model: str, base_path: pathlib.Path, version: int, *, text: bool = False) -> None:
        target = base_path / str(version)
        shutil.copytree(self.root / "models" / model, target)
        if text:
            from google.protobuf import text_format
            from tensorflow.core.protobuf import saved_model_pb2

            binary = target / "saved_model.pb"
            proto = saved_model_pb2.SavedModel.FromString(binary.read_bytes())
            (target / "saved_model.pbtxt").write_text(text_format.MessageToString(proto), encoding="utf-8")
            binary.unlink()


@pytest.fixture(scope="module")
def arena(tf: Any, tmp_path_factory: pytest.TempPathFactory, listener: tuple[str, list[Any]]) -> Arena:
    return Arena(tf, tmp_path_factory.mktemp("arena"), listener[0])


@contextlib.contextmanager
def serving_all(
    arena: Arena, models: Models, folder: pathlib.Path, forms: list[tuple[str, bool]], *flags: str
) -> Iterator[tuple[ServerProcess, Stubs]]:
    """A server that was told to serve a good version, 1, and the attacks from 100 on."""
    base_path = folder / "half"
    models.publish("half_plus_two", base_path, 1)
    for number, (model, text) in enumerate(forms):
        arena.publish(model, base_path, 100 + number, text=text)
    config = folder / "models.config"
    config.write_text(
        f"model_config_list {{ config {{ name: 'half' base_path: '{base_path}' model_platform: 'tensorflow' "
        "model_version_policy { all {} } } }"
    )
    arguments = (f"--model_config_file={config}", "--max_num_load_retries=0", *flags)
    with server_process(folder, *arguments) as server:
        stubs = Stubs(server.target)
        eventually(lambda: set(stubs.states("half").values()) <= {"AVAILABLE", "END"})
        yield server, stubs


def test_a_server_loads_none_of_the_attacks(
    arena: Arena, models: Models, tmp_path: pathlib.Path, listener: tuple[str, list[Any]]
) -> None:
    forms = [(model, text) for model in arena.models for text in (False, True)]
    assert len(arena.models) >= 40
    with serving_all(arena, models, tmp_path, forms) as (_, stubs):
        for status in stubs.status("half").model_version_status:
            if status.version > 1:
                model, _ = forms[status.version - 100]
                assert status.status.error_code == Code.PERMISSION_DENIED, (model, status.status.error_message)
                assert model.split("-")[0] in status.status.error_message
        assert stubs.predict("half", {"x": column(2)}).model_spec.version.value == 1
    assert not arena.written()
    assert not listener[1]


def test_the_attacks_do_work_where_the_operator_trusts_the_model(
    arena: Arena, models: Models, tmp_path: pathlib.Path, listener: tuple[str, list[Any]]
) -> None:
    """Or the test above would prove nothing."""
    # Those that wait for a connection never come back, and hold a thread of TensorFlow's: they are last.
    forms = [(model, False) for model in sorted(arena.models, key=lambda model: model.startswith(CONNECT))]
    forms.remove(("Abort-request", False))
    answers: dict[str, str] = {}
    with serving_all(arena, models, tmp_path, forms, "--allow_file_system_ops") as (_, stubs):
        for number, (model, _) in enumerate(forms):
            request = predict_request("half", {"x": column(1)}, version=100 + number)
            try:
                answers[model] = str(stubs.prediction.Predict(request, timeout=1).outputs["y"])
            except grpc.RpcError as error:
                answers[model] = f"{error.code().name} {error.details()}"
    written = arena.written()
    arena.clear()
    for name in READS:
        assert "secret" in answers[f"{name}-request"], answers[f"{name}-request"]
    assert written >= {"WriteFile-load", "PrintV2-load"} and len(written) >= 20, written
    assert len(listener[1]) >= 2


def words_model(tf: Any, path: pathlib.Path) -> pathlib.Path:
    """`index` of `words`, a table that TensorFlow 1 fills from an asset; a variable; a sharded saver."""
    tf1, lines = tf.compat.v1, tf.lookup.TextFileIndex
    vocabulary = path.parent / "words.txt"
    vocabulary.write_text("red\ngreen\n", encoding="utf-8")
    with tf.Graph().as_default(), tf1.Session() as session:
        file_name = tf.constant(str(vocabulary), name="vocabulary")
        table = tf.lookup.StaticVocabularyTable(
            tf.lookup.TextFileInitializer(
                file_name, tf.string, lines.WHOLE_LINE, tf.int64, lines.LINE_NUMBER
            ), 1, experimental_is_anonymous=False,
        )  # fmt: skip
        words = tf1.placeholder(tf.string, [None], name="words")
        zero = tf1.get_variable("zero", initializer=tf.constant(0, tf.int64), use_resource=True)
        index = tf.add(table.lookup(words), zero, name="index")
        session.run([tf1.global_variables_initializer(), tf1.tables_initializer()])
        info = tf1.saved_model.utils.build_tensor_info
        signature = tf1.saved_model.signature_def_utils.build_signature_def(
            {"words": info(words)}, {"index": info(index)}
        )
        builder = tf1.saved_model.builder.SavedModelBuilder(str(path))
        builder.add_meta_graph_and_variables(
            session, ["serve"], signature_def_map={"serving_default": signature},
            assets_collection=tf1.get_collection(tf1.GraphKeys.ASSET_FILEPATHS), main_op=tf1.tables_initializer(),
            saver=tf1.train.Saver(sharded=True),
        )  # fmt: skip
        builder.save()
    return path


def test_a_table_from_an_asset_and_a_sharded_checkpoint_are_loaded(tf: Any, tmp_path: pathlib.Path) -> None:
    path = words_model(tf, tmp_path / "1")
    safety.check(path, tmp_path)
    loaded = servable.load("m", 1, path)
    (index,) = loaded.run({"words:0": np.array([b"green", b"red"], object)}, ["index:0"], 5)
    assert index.tolist() == [1, 0]
    loaded.close()


def _name_asset(meta: Any, file_name: str, tensor: str, *, old_place: bool) -> None:
    """Says which tensor is an asset, where TensorFlow 2 says so or where TensorFlow 1 did."""
    from tensorflow.core.protobuf import meta_graph_pb2

    asset = meta_graph_pb2.AssetFileDef(filename=file_name)
    asset.tensor_info.name = tensor
    meta.collection_def["saved_model_assets"].Clear()
    if old_place:
        meta.collection_def["saved_model_assets"].any_list.value.add().Pack(asset)
    else:
        meta.asset_file_def.append(asset)


def _asset_by_path(meta: Any) -> None:
    _name_asset(meta, "../../secret.txt", "vocabulary:0", old_place=False)


def _asset_by_path_in_the_old_place(meta: Any) -> None:
    _name_asset(meta, "../../secret.txt", "vocabulary:0", old_place=True)


def _table_from_another_constant(meta: Any) -> None:
    _name_asset(meta, "words.txt", "Const_1:0", old_place=False)


def _table_filled_by_a_request(meta: Any) -> None:
    initializer = next(node for node in meta.graph_def.node if node.op == "InitializeTableFromTextFileV2")
    index = next(node for node in meta.graph_def.node if node.name == "index")
    index.input.append(f"^{initializer.name}")


def _checkpoint_by_name(meta: Any) -> None:
    constant = meta.graph_def.node.add(name="elsewhere", op="Const")
    constant.attr["dtype"].type = 7
    restore = next(node for node in meta.graph_def.node if node.op == "RestoreV2")
    restore.input[0] = "elsewhere"


def _a_request_saves(meta: Any) -> None:
    meta.signature_def["serving_default"].outputs["index"].name = meta.saver_def.save_tensor_name


def _a_request_restores(meta: Any) -> None:
    meta.saver_def.restore_op_name, restore = "", meta.saver_def.restore_op_name
    next(node for node in meta.graph_def.node if node.name == "index").input.append(f"^{restore}")


def _the_load_saves(meta: Any) -> None:
    meta.saver_def.restore_op_name = meta.saver_def.save_tensor_name.partition(":")[0]


def _the_initializer_saves(meta: Any) -> None:
    meta.signature_def["__saved_model_init_op"].outputs["x"].name = meta.saver_def.save_tensor_name


def _the_old_initializer_saves(meta: Any) -> None:
    meta.collection_def["legacy_init_op"].node_list.value.append(meta.saver_def.save_tensor_name)


@pytest.mark.parametrize(
    "edit",
    [
        _asset_by_path, _asset_by_path_in_the_old_place, _table_from_another_constant, _table_filled_by_a_request,
        _checkpoint_by_name, _a_request_saves, _a_request_restores, _the_load_saves, _the_initializer_saves,
        _the_old_initializer_saves,
    ],
)  # fmt: skip
def test_the_ops_that_open_files_do_so_only_where_the_loader_runs_them(
    tf: Any, tmp_path: pathlib.Path, edit: Any
) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    file = words_model(tf, tmp_path / "1") / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    # The first meta graph is as it should be: which one is loaded is the operator's choice.
    proto.meta_graphs.add().CopyFrom(proto.meta_graphs[0])
    edit(proto.meta_graphs[1])
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(StatusError) as raised:
        safety.check(tmp_path / "1", tmp_path)
    assert raised.value.code is Code.PERMISSION_DENIED


def test_a_restoring_function_that_may_stand_in_for_another_is_refused(
    models: Models, tf: Any, tmp_path: pathlib.Path
) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    path = models.publish("half_plus_two", tmp_path, 1)
    file = path / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    functions = proto.meta_graphs[0].graph_def.library.function
    restore = next(function for function in functions if any(node.op == "RestoreV2" for node in function.node_def))
    restore.attr["api_implements"].s = b"anything"
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(StatusError, match="uses RestoreV2"):
        safety.check(path, tmp_path)


def table_of_an_asset(tf: Any, path: pathlib.Path) -> Any:
    """The SavedModel message of a TensorFlow 2 model whose table comes from an asset, and which has a variable."""
    from tensorflow.core.protobuf import saved_model_pb2

    vocabulary = path.parent / "words.txt"
    vocabulary.write_text("red\ngreen\n", encoding="utf-8")
    lines = tf.lookup.TextFileIndex
    module = tf.Module()
    module.asset, module.other = tf.saved_model.Asset(str(vocabulary)), tf.Variable("other")
    initializer = tf.lookup.TextFileInitializer(
        module.asset.asset_path, tf.string, lines.WHOLE_LINE, tf.int64, lines.LINE_NUMBER
    )
    module.table = tf.lookup.StaticHashTable(initializer, -1)
    module.look_up = tf.function(
        lambda text: {"index": module.table.lookup(text)}, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(path), signatures=module.look_up)
    return saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())


def _another_value(graph: Any, asset: Any) -> None:
    graph.node.add(name="elsewhere", op="Const")
    graph.node.add(name="set", op="AssignVariableOp", input=[asset.name, "elsewhere"])


def _another_handle(graph: Any, asset: Any) -> None:
    graph.node.add(name="same", op="VarHandleOp").attr["shared_name"].s = asset.attr["shared_name"].s


def _no_name(graph: Any, asset: Any) -> None:
    asset.attr["shared_name"].s = b""


def _into_a_function(graph: Any, asset: Any) -> None:
    next(node for node in graph.node if node.op == "StatefulPartitionedCall").input.append(asset.name)


def _forged(graph: Any, asset: Any) -> None:
    graph.node.add(name="handle", op="Const").attr["dtype"].type = 20


@pytest.mark.parametrize("edit", [None, _another_value, _another_handle, _no_name, _into_a_function, _forged])
def test_the_variable_that_holds_the_path_of_an_asset_holds_nothing_else(
    tf: Any, tmp_path: pathlib.Path, edit: Any
) -> None:
    proto = table_of_an_asset(tf, tmp_path / "1")
    graph = proto.meta_graphs[0].graph_def
    assigned = next(node for node in graph.node if "asset_path_initializer" in node.input)
    if edit is None:
        return safety.check(tmp_path / "1", tmp_path)
    edit(graph, next(node for node in graph.node if node.name == assigned.input[0]))
    (tmp_path / "1" / "saved_model.pb").write_bytes(proto.SerializeToString())
    with pytest.raises(StatusError) as raised:
        safety.check(tmp_path / "1", tmp_path)
    assert raised.value.code is Code.PERMISSION_DENIED
    return None


def test_the_initializer_cannot_be_requested(models: Models, tmp_path: pathlib.Path) -> None:
    models.publish("half_plus_two", tmp_path / "half", 1)
    with running_server(model_name="half", model_base_path=str(tmp_path / "half")) as server:
        stubs = Stubs(f"127.0.0.1:{server.grpc_port}")
        with fails(grpc.StatusCode.FAILED_PRECONDITION, 'key "__saved_model_init_op" not found'):
            stubs.predict("half", {}, signature="__saved_model_init_op")
