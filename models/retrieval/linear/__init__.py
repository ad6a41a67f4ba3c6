"""The linear item-to-item model beside the towers, and how much say it has."""
