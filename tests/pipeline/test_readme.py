"""The README's Python runs as it stands, against models that were just pushed."""

import contextlib
import io
import pathlib
import re

from homefeed.serving.process import model_server

README = pathlib.Path(__file__).parents[2] / "README.md"


def test_the_first_grpc_calls_of_the_readme_print_inputs_and_titles(
    sample_root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    serving = sample_root / "serving"
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    printed = io.StringIO()
    with model_server({name: serving / name for name in ("retrieval", "ranking", "fused")}, tmp_path) as address:
        for block in blocks:
            code = block.replace("127.0.0.1:8500", address)
            code = code.replace("var/movielens-100k/root", str(sample_root)).replace('"42"', '"user-0001"')
            with contextlib.redirect_stdout(printed):
                exec(code, {})  # The README is ours.
    inputs, *titles = printed.getvalue().splitlines()
    assert "'history': 'string[?, ?]'" in inputs
    assert len(titles) == 10 and all(re.match(r"[01]\.\d\d  \S", title) for title in titles)
