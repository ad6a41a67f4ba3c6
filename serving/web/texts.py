"""The words of the page, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LANGUAGES = ("en", "zh")

TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "For you",
        "skip": "Skip to the page",
        "search": "Search",
        "history": "For you",
        "features": "For you",
        "popular": "Popular now",
        "query": "Found for “{query}”",
        "because": "Because you had “{title}”",
        "more_of": "More that goes with “{title}”",
        "friends": "From people you are connected with",
        "trending": "Trending now",
        "new": "New",
        "near_taste": "Popular in {tags}",
        "editors": "The editors' choice",
        "more": "More",
        "why": "Why this? ",
        "why_history": "it is like what you did lately",
        "why_features": "it fits what is known about you",
        "why_popular": "many people like it",
        "why_query": "it has the words that you searched for",
        "why_because": "it is like “{title}”",
        "why_more_of": "it has something in common with “{title}”",
        "why_friends": "somebody you are connected with chose it",
        "why_trending": "many people choose it right now",
        "why_new": "it has just come in",
        "why_near_taste": "it is popular in {tags}",
        "why_editors": "the editors chose it",
        "ask": "Why this?",
        "no_reason": "Nothing single stands out.",
        "back": "Back to the page",
        "view": "Open",
        "like": "Like",
        "not_for_me": "Not for me",
        "undo": "Undo",
        "hidden": "“{title}” is not shown any more.",
        "liked": "Noted: you like “{title}”.",
        "nothing": "There is nothing more to show.",
        "tags": "My interests",
        "no_tags": "Nothing is known yet.",
        "remove": "Remove",
        "personal_on": "Show a page that is made for me",
        "personal_off": "Show a page that is the same for everybody",
        "export": "My data as a file",
        "delete": "Delete my data",
        "deleted": "Your data were deleted.",
        "other": "中文",
    },
    "zh": {
        "title": "为你推荐",
        "skip": "跳到正文",
        "search": "搜索",
        "history": "为你推荐",
        "features": "为你推荐",
        "popular": "热门",
        "query": "“{query}”的搜索结果",
        "because": "因为你看过“{title}”",
        "more_of": "与“{title}”相关的更多内容",
        "friends": "来自与你有联系的人",
        "trending": "正在热读",
        "new": "新上架",
        "near_taste": "{tags}热门",
        "editors": "编辑精选",
        "more": "更多",
        "why": "为什么推荐？",
        "why_history": "与你最近的兴趣相似",
        "why_features": "符合你的资料",
        "why_popular": "很多人喜欢",
        "why_query": "包含你搜索的词",
        "why_because": "与“{title}”相似",
        "why_more_of": "与“{title}”有共同之处",
        "why_friends": "与你有联系的人选择过它",
        "why_trending": "此刻很多人在看",
        "why_new": "刚刚上架",
        "why_near_taste": "在{tags}中受欢迎",
        "why_editors": "由编辑挑选",
        "ask": "为什么？",
        "no_reason": "没有突出的单一原因。",
        "back": "返回",
        "view": "打开",
        "like": "喜欢",
        "not_for_me": "不感兴趣",
        "undo": "撤销",
        "hidden": "不再显示“{title}”。",
        "liked": "已记录：你喜欢“{title}”。",
        "nothing": "没有更多内容了。",
        "tags": "我的兴趣",
        "no_tags": "还没有记录。",
        "remove": "删除",
        "personal_on": "显示为我定制的页面",
        "personal_off": "显示所有人相同的页面",
        "export": "导出我的数据",
        "delete": "删除我的数据",
        "deleted": "你的数据已删除。",
        "other": "English",
    },
}


def heading(words: Mapping[str, str], reason: Mapping[str, Any], row: str) -> str:
    """What stands above a row."""
    return words["more"] if row == "more" else _filled(words[_code(words, reason)], reason)


def why(words: Mapping[str, str], reason: Mapping[str, Any]) -> str:
    """Why a row's items are shown."""
    return _filled(words[f"why_{_code(words, reason)}"], reason)


def _code(words: Mapping[str, str], reason: Mapping[str, Any]) -> str:
    """Models join sources, as in `history+query`: the first one speaks."""
    code = str(reason["code"]).partition("+")[0]
    return code if f"why_{code}" in words else "popular"


def _filled(text: str, reason: Mapping[str, Any]) -> str:
    tags = ", ".join(reason.get("tags", ()))
    return text.format(title=reason.get("title", ""), query=reason.get("query", ""), tags=tags)
