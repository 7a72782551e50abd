"""Other people's formats: Open311, NGSI-LD, GeoJSON, iCalendar, CSV."""
