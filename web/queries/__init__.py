"""Reading over HTTP: read models, their past and their explanation."""
