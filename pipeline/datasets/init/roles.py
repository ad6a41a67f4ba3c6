"""Which of a team's files is which table, and which of their columns are those that homefeed knows by name."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from homefeed.pipeline.datasets.init.look import Column, Looked
from homefeed.schemas.columns import TableName
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.words import shown

_ID = r"(id|key|code|no|nr|number|uuid|hash|编号|号|标识)?"
_USERS = (
    "user|u|customer|cust|visitor|member|reviewer|reader|account|client|person|buyer|listener|viewer|player|student|"
    "learner|subscriber|patron|shopper|guest|session|profile|用户|会员|顾客|客户|买家|读者"
)
_ITEMS = (
    "item|i|product|asin|parentasin|movie|film|book|isbn|article|news|sku|song|track|artist|content|video|business|"
    "restaurant|place|venue|course|game|anime|recipe|stock|document|doc|post|listing|property|offer|job|paper|show|app|"
    "goods|商品|物品|电影|图书|书籍|文章|新闻|视频|歌曲|餐厅|课程|内容"
)
IDS = {"user_id": f"({_USERS}){_ID}", "item_id": f"({_ITEMS}){_ID}"}
_DONE = "event|click|view|order|invoice|purchase|review|rating|log|unixreview|action|visit|play|behaviou?r"
_THING = "item|product|movie|film|book|article|news|song|track|video|course|game|show|job"
NAMES: dict[TableName, dict[str, str]] = {
    "interactions": {
        "timestamp": f"({_DONE})?(timestamp|time|datetime|date|at|ts)|created(at)?|"
        "(rat|review|click|purchas|order|play)edat|时间|时间戳|日期|(行为|下单|点击|购买)时间",
        "event_type": "(event|action|interaction|behaviou?r|activity|feedback)(type|name|kind)?|type|"
        "行为(类型)?|事件(类型)?|操作",
        "value": "(user|book)?(rating|score|stars?|overall|grade)s?|value|评分|分数|打分|星级",
        "query": "(search)?(query|keywords?|term)|search(text|string)|搜索词?|查询词?",
        "event_id": "event(id|uuid)|messageid",
    },
    "items": {
        "title": f"({_THING})?(title|name|headline)|(primary|original)title|标题|名称|商品名(称)?|书名|片名",
        "description": "(item|product|short|long)?(description|desc|overview|summary|synopsis|abstract|plot|body|"
        "content|text|details|about)|描述|简介|内容|详情|摘要",
        "categories": "(item|product|main|sub|news|article)?(category|categories|genres?|tags|topics?|subjects?|"
        "departments?|section|categoryname|cat|class)|类目|类别|分类|标签|频道",
        "language": "lang(uage)?(code)?|locale|语言",
        "available_from": "(release|publish|publication|published|publishing|available|added|listed|listing|launch|"
        "first(seen|available))(date|time|from|at|on|datetime)?|created(at)?|(发布|上架|上映|出版)(时间|日期)",
    },
    "users": {},
    "exposures": {},
}
"""Table → our column → a pattern of the names that stand for it, as `skeleton` gives them."""

MIN_OVERLAP = 0.3  # Of the values of a column of the log that a table's key must hold.


@dataclasses.dataclass(frozen=True)
class Roles:
    """What was found.

    Attributes:
        files: table → its file; interactions always.
        columns: table → our column → the file's.
        ignored: paths of files that are none of the tables.
        guesses: what no name told, for people.
    """

    files: Mapping[TableName, Looked]
    columns: Mapping[TableName, Mapping[str, str]]
    ignored: Sequence[str]
    guesses: Sequence[str]


def skeleton(name: str) -> str:
    """What is alike in `user_id`, `userId`, `user.id` and `User ID`.

    >>> skeleton("user.ID"), skeleton("用户_id"), skeleton("user_id:token")
    ('userid', '用户id', 'userid')
    """
    plain = unicodedata.normalize("NFKC", name).casefold().partition(":")[0]  # RecBole's files tell the type, too.
    return "".join(filter(str.isalnum, plain))


def find_roles(files: Sequence[Looked]) -> Roles:
    """Tells tables and columns by their names and, where these say nothing, by what they hold.

    Raises:
        DatasetError: no file can be the interactions.
    """
    log = max(files, key=lambda one: (_rank_as_log(one), one.num_rows))
    found, guesses = _named(log, IDS), list[str]()
    time = _named(log, {"timestamp": NAMES["interactions"]["timestamp"]}, is_time=True) or _any_time(log, guesses)
    if not time:
        raise DatasetError(
            f"{log.path} has no column of times, among {', '.join(log.columns)}{_no_time(log)}; the interactions "
            "need one: name their file with its time, or add a column"
        )
    others = [one for one in files if one is not log]
    keys = {place: _keys(one) for place, one in enumerate(others)}
    if len(found) < 2:
        found |= _ids_by_content(log, others, keys, set(found.values()) | set(time.values()), found, guesses)
    if len(found) < 2:
        raise DatasetError(
            f"{log.path} has no columns of users and items, among {', '.join(log.columns)}; "
            "call them user_id and item_id"
        )
    tables: dict[TableName, Looked] = {"interactions": log}
    columns: dict[TableName, dict[str, str]] = {"interactions": found | time}
    for name, our in (("items", "item_id"), ("users", "user_id")):
        match = _matching(log.columns[found[our]], others, keys, [tables[t] for t in tables])
        if match is not None:
            tables[name], columns[name] = match[0], {our: match[1]}  # type: ignore[index]
    rest = {name: pattern for name, pattern in NAMES["interactions"].items() if name != "timestamp"}
    columns["interactions"] |= _named(log, rest, set(columns["interactions"].values()))
    if "value" not in columns["interactions"] and log.table.header is not None:
        columns["interactions"] |= _any_rating(log, set(columns["interactions"].values()), guesses)
    if "items" in tables:
        columns["items"] |= _named(tables["items"], NAMES["items"], set(columns["items"].values()))
        if "title" not in columns["items"]:
            columns["items"] |= _any_title(tables["items"], set(columns["items"].values()), guesses)
    else:
        columns["interactions"] |= _title_in(log, columns["interactions"], guesses)
    ignored = [one.path for one in others if not any(one is table for table in tables.values())]
    return Roles(tables, columns, ignored, guesses)


def _rank_as_log(one: Looked) -> int:
    """How much a file looks like a log: by ids, by a time, and because no column of it names its rows."""
    ids = _named(one, IDS)
    has_time = bool(_named(one, {"timestamp": NAMES["interactions"]["timestamp"]}, is_time=True))
    is_keyed = any(column.is_key for name, column in one.columns.items() if name in ids.values())
    return 4 * len(ids) + 2 * has_time - 3 * is_keyed


def _named(
    one: Looked, patterns: Mapping[str, str], used: set[str] | None = None, is_time: bool = False
) -> dict[str, str]:
    """Our column → the file's, by name: an exact `user_id` before `customer`."""
    found: dict[str, str] = {}
    taken = set(used or ())
    for our, pattern in patterns.items():
        alike = [
            name
            for name, column in one.columns.items()
            if name not in taken
            and (skeleton(name) == skeleton(our) or re.fullmatch(pattern, skeleton(name)))
            and column.texts
            and (not (is_time or our == "available_from") or column.seconds is not None)
            and (our != "value" or column.numbers is not None)
        ]
        if alike:
            best = max(
                alike, key=lambda name: (skeleton(name) == skeleton(our), "id" in skeleton(name), -alike.index(name))
            )
            found[our] = best
            taken.add(best)
    return found


def _any_time(log: Looked, guesses: list[str]) -> dict[str, str]:
    times = [name for name, column in log.columns.items() if column.seconds is not None]
    if not times:
        return {}
    best = max(times, key=lambda name: len(log.columns[name].counts))
    guesses.append(f"{log.path}: {best} is taken for the time, by its values")
    return {"timestamp": best}


def _no_time(log: Looked) -> str:
    """What a column holds that by its name should be the time."""
    named = NAMES["interactions"]["timestamp"]
    held = (
        f", and {name} holds {shown(one.texts[0])}"
        for name, one in log.columns.items()
        if one.texts and re.fullmatch(named, skeleton(name))
    )
    return f"{found}, expected a time such as 2024-01-31T18:00" if (found := next(held, "")) else ""


def _keys(one: Looked) -> list[str]:
    return [name for name, column in one.columns.items() if column.is_key and column.seconds is None]


def _overlap(column: Column, key: Column) -> float:
    """How many of the values that both have together they share; most of what is in the log must be there."""
    log, table = column.counts.keys(), key.counts.keys()
    shared = len(log & table)
    return shared / len(log | table) if shared >= MIN_OVERLAP * len(log) else 0.0


def _matching(
    column: Column, others: Sequence[Looked], keys: Mapping[int, list[str]], taken: Sequence[Looked]
) -> tuple[Looked, str] | None:
    """The file, and its key, that holds most of a column's values."""
    found = [
        (_overlap(column, others[place].columns[name]), skeleton(name) == skeleton(column.name), place, name)
        for place, names in keys.items()
        for name in names
        if not any(others[place] is one for one in taken)
    ]
    best = max(found, default=(0.0, False, 0, ""))
    return (others[best[2]], best[3]) if best[0] else None


def _ids_by_content(
    log: Looked,
    others: Sequence[Looked],
    keys: Mapping[int, list[str]],
    used: set[str],
    known: Mapping[str, str],
    guesses: list[str],
) -> dict[str, str]:
    """Users and items where no name tells them: by the files whose keys they are, else the first two columns."""
    wanted = [our for our in ("user_id", "item_id") if our not in known]
    possible = [
        name
        for name, column in log.columns.items()
        if name not in used and len(column.counts) > 20 and not column.is_key and not _has_fractions(column)
    ]
    found: dict[str, str] = {}
    for name in possible:
        match = _matching(log.columns[name], others, keys, [])
        if match is not None:
            our = "item_id" if _any_title(match[0], {match[1]}, []) else "user_id"
            if our in wanted:
                found.setdefault(our, name)
    rest = [name for name in possible if name not in found.values()]
    found |= dict(zip([our for our in wanted if our not in found], rest, strict=False))
    guesses += [f"{log.path}: {name} is taken for {our}, by its values and place" for our, name in found.items()]
    return found


def _has_fractions(column: Column) -> bool:
    return column.numbers is not None and bool((column.numbers % 1 != 0).any())


def _any_rating(log: Looked, taken: set[str], guesses: list[str]) -> dict[str, str]:
    """Of columns without names one of few levels of small numbers."""
    for name, column in log.columns.items():
        levels = np.unique(column.numbers) if column.numbers is not None else np.empty(0)
        if name not in taken and 3 <= len(levels) <= 21 and levels[0] >= 0 and levels[-1] <= 100:
            guesses.append(f"{log.path}: {name} is taken for a rating, by its few levels")
            return {"value": name}
    return {}


def _title_in(log: Looked, known: Mapping[str, str], guesses: list[str]) -> dict[str, str]:
    """The column of a log that names its items: texts, of each item the same."""
    items = log.columns[known["item_id"]]
    patterns = [NAMES["items"][name] for name in ("title", "description")]
    for name, column in log.columns.items():
        is_named = any(re.fullmatch(pattern, skeleton(name)) for pattern in patterns)
        if name in known.values() or not is_named or column.numbers is not None or column.is_list:
            continue
        pairs = {pair for pair in zip(items.cells, column.cells, strict=True) if None not in pair}
        if len(pairs) <= 1.5 * len(items.counts):
            guesses.append(f"{log.path}: {name} is taken for the items' title, as each has one")
            return {"title": name}
    return {}


def _any_title(one: Looked, taken: set[str], guesses: list[str]) -> dict[str, str]:
    """The column whose texts are the most various, and neither addresses nor numbers."""
    texts = {
        name: column
        for name, column in one.columns.items()
        if name not in taken and not column.is_list and column.numbers is None and column.seconds is None
    }
    found = {
        name: len(column.counts) / max(len(column.texts), 1)
        for name, column in texts.items()
        if column.texts and np.mean([" " in text or not text.isascii() for text in column.texts]) > 0.5
    }
    best = max(found, key=lambda name: found[name], default="")
    if not best or found[best] < 0.5:
        return {}
    guesses.append(f"{one.path}: {best} is taken for the title, as its texts are the most various")
    return {"title": best}
