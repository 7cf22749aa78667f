"""Facts about hardware, as data. Every figure has its source beside it."""
