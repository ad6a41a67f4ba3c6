"""Why a card was on a page: the page as it was, lists without a part of its inputs, and what both say."""
