"""What the news of the simulated site are about, in each of `words.LANGUAGES`."""

from __future__ import annotations

from typing import NamedTuple

Pair = tuple[str, str]


class Desk(NamedTuple):
    """A category of news, and what its news are about."""

    name: Pair
    topics: tuple[Pair, ...]


DESKS = (
    Desk(
        ("Politics", "政治"),
        (("Parliament", "议会"), ("Election", "选举"), ("Budget", "预算"), ("Treaty", "条约")),
    ),
    Desk(
        ("Business", "财经"),
        (("Central bank", "央行"), ("Start-ups", "初创企业"), ("Shares", "股市"), ("Trade", "贸易")),
    ),
    Desk(
        ("Sport", "体育"),
        (("Football", "足球"), ("Tennis", "网球"), ("Marathon", "马拉松"), ("Basketball", "篮球")),
    ),
    Desk(
        ("Science", "科学"),
        (("Space", "航天"), ("Climate", "气候"), ("Medicine", "医学"), ("Physics", "物理")),
    ),
    Desk(
        ("Culture", "文化"),
        (("Film", "电影"), ("Museums", "博物馆"), ("Theatre", "戏剧"), ("Books", "图书")),
    ),
    Desk(
        ("Technology", "科技"),
        (("Chips", "芯片"), ("Robots", "机器人"), ("Phones", "手机"), ("Software", "软件")),
    ),
    Desk(
        ("Society", "社会"),
        (("Traffic", "交通"), ("Schools", "学校"), ("Housing", "住房"), ("Festivals", "节庆")),
    ),
    Desk(
        ("Travel", "旅游"),
        (("Railways", "铁路"), ("Islands", "海岛"), ("Mountains", "登山"), ("Food", "美食")),
    ),
)
HAPPENINGS = (
    ("a turning point", "转折点"),
    ("a surprise result", "意外结果"),
    ("new rules", "新规出台"),
    ("record numbers", "创下纪录"),
    ("fresh doubts", "疑问再起"),
    ("a long night", "漫长一夜"),
    ("what comes next", "接下来会怎样"),
    ("a quiet revival", "悄然复兴"),
)
REGIONS = (
    ("Riverton", "河城"),
    ("North Harbour", "北港"),
    ("Lakeside", "湖畔"),
    ("Old Town", "老城"),
    ("Hillford", "山渡"),
    ("Eastgate", "东门"),
)
