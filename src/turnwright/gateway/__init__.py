"""Gateway: where every policy call is recorded, token by token. Importing this loads no torch and no server."""
