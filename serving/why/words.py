"""Reasons as sentences, in English and Chinese."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence

from homefeed.serving.why.evidence import Evidence, Reason, holds

SENTENCES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "event": "Because you had “{title}”: without it, this would score lower beside the others.",
        "history": "Because of all you did: without it, this would score lower beside the others.",
        "feature": "Because of your {subject}: without it, this would score lower beside the others.",
        "context": "Because of {subject} just now: without it, this would score lower beside the others.",
        "query": "Because you searched for “{query}”: without it, this would score lower beside the others.",
        "words": "Its title has “{subject}”, which you searched for.",
        "similar": "It is like “{title}”.",
        "more_of": "Its {relation} is “{value}”, as that of “{title}” is.",
        "friends": "Of the people you are connected with, somebody chose it.",
        "tag": "It is in “{tag}”, an interest of yours.",
        "popular": "It is number {place} of what most people choose.",
        "hot": "It was number {place} of what people chose lately.",
        "trending": "It was number {place} of what more people chose than usual.",
        "new": "It came in on {date}.",
        "editors": "It is number {place} of the editors' choice.",
        "pin": "The rule “{subject}” puts it here.",
        "boost": "The rule “{subject}” lifts it.",
        "exploration": "Lots were drawn for this place, to learn what you like: this one had a chance of {share}.",
        "experiment": "This page is part of the experiment “{subject}” (“{more}”).",
        "counterfactual": "Without {titles} you would have seen “{instead}” here.",
    },
    "zh": {
        "event": "因为你的记录里有“{title}”：没有它，这一项与其他项相比得分会更低。",
        "history": "因为你的全部记录：没有它们，这一项与其他项相比得分会更低。",
        "feature": "因为你的资料（{subject}）：没有它，这一项与其他项相比得分会更低。",
        "context": "因为你的访问方式（{subject}）：没有它，这一项与其他项相比得分会更低。",
        "query": "因为你搜索了“{query}”：没有它，这一项与其他项相比得分会更低。",
        "words": "标题里有你搜索的“{subject}”。",
        "similar": "与“{title}”相似。",
        "more_of": "它的{relation}是“{value}”，与“{title}”相同。",
        "friends": "与你有联系的人中有人选择过它。",
        "tag": "属于你感兴趣的“{tag}”。",
        "popular": "在最多人选择的内容中排第{place}位。",
        "hot": "在近来人们选择的内容中排第{place}位。",
        "trending": "在比平时更多人选择的内容中排第{place}位。",
        "new": "于{date}上架。",
        "editors": "在编辑精选中排第{place}位。",
        "pin": "规则“{subject}”把它放在这里。",
        "boost": "规则“{subject}”提升了它。",
        "exploration": "这个位置是抽签决定的，以便了解你的喜好：这一项的概率是{share}。",
        "experiment": "本页属于实验“{subject}”（“{more}”）。",
        "counterfactual": "如果没有{titles}，你在这里看到的会是“{instead}”。",
    },
}
_AND = {"en": (", ", " and "), "zh": ("、", "和")}


def sentence(reason: Reason, evidence: Evidence, title: Callable[[str], str], language: str) -> str:
    """A reason in words.

    Args:
        reason: what is to be said.
        evidence: what is known of the card.
        title: item id → title.
        language: `en` or `zh`.

    Raises:
        ValueError: the data does not carry it.
    """
    if not holds(reason, evidence):
        raise ValueError(f"the reason {reason} is not carried by what is known of {evidence.item_id}")
    amount = reason.amount or 0.0
    date = datetime.datetime.fromtimestamp(amount, datetime.UTC).date() if reason.code == "new" else ""
    return SENTENCES[language][reason.code].format(
        title=title(reason.subject),
        subject=reason.subject,
        more=reason.more,
        relation=reason.more.partition("=")[0],
        value=reason.more.partition("=")[2],
        tag=reason.subject.partition(":")[2] or reason.subject,
        query=evidence.query,
        place=int(amount),
        share=f"{amount:.1%}",
        date=date,
    )


def counterfactual(titles: Sequence[str], instead: str, language: str) -> str:
    """What another history would have shown.

    >>> counterfactual(["A", "B", "C"], "D", "en")
    'Without “A”, “B” and “C” you would have seen “D” here.'
    """
    comma, last = _AND[language]
    quoted = [f"“{title}”" for title in titles]
    joined = last.join([*([comma.join(quoted[:-1])] if len(quoted) > 1 else []), quoted[-1]])
    return SENTENCES[language]["counterfactual"].format(titles=joined, instead=instead)
