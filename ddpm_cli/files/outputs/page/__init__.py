"""A page of HTML that needs nothing but itself: markup, charts, sheets, and the whole."""
