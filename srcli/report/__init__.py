"""Results for people and programs: tables, pages, charts."""
