"""Why a card is on a page: reasons that were measured or recorded, and sentences that say no more than that."""
