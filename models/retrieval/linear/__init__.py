"""The linear item-to-item model beside the towers, and its weight."""
