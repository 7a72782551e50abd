"""Other people's words for what we know: Open311, NGSI-LD, GeoJSON, iCal, CSV and Parquet."""
