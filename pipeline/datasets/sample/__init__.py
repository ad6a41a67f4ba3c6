"""A simulated store whose shoppers' taste is known: small, in English and Chinese, and free to share.

How a shopper picks the next item, which is what a recommender should find out:

1. *A category*: half of the time by a lasting taste, which goes with age, and half of the time by what was
   picked last (who picked a tent needs a torch), so that recent history matters.
2. *An item of it*: by taste for its style and material, which only title and description tell; by price, by
   language, by what is popular or new; and in the same style as the item before.

Before some picks they search: by words that the item's text may hold, and a share of them (`rows.SYNONYM_FRACTION`)
by other words, in their own language, that no item's text holds: only what others picked tells what they mean.

Nobody picks the same item twice. Some items and some shoppers come late, so that cold start can be measured.
`truth.json` keeps what was hidden; no part of the pipeline reads it.

`write_weeks` writes a store that changes, a span a week: taste drifts, items come and go out of fashion, and new
items and shoppers come all the time. `write_news` writes a news site, whose items live for a day: see `news`.
"""

from homefeed.pipeline.datasets.sample.news import write_news
from homefeed.pipeline.datasets.sample.write import write_sample, write_weeks

__all__ = ["write_news", "write_sample", "write_weeks"]
