"""An environment as an MCP server over pipes: the process is the session, and the session one episode.

stdin, a JSON-RPC message per line --> episode --> stdout;  end of stdin --> the episode is graded and written
"""

import asyncio
import json
import os
import sys

from turnwright.launch.export.mcp import PARSE_ERROR, answer, failure
from turnwright.launch.export.sessions import Session

MAX_LINE_BYTES = 8 * 2**20


async def serve_pipes(session: Session, stop: asyncio.Event) -> None:
    """Answer until the other side closes its pipe, or ``stop`` is set; then end the session."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(0), "rb"))
    # Whatever a tool prints goes elsewhere: here it would be read as a message.
    output = os.dup(1)
    os.dup2(2, 1)
    stopping = asyncio.create_task(stop.wait())
    writing = asyncio.Lock()
    try:
        async with asyncio.TaskGroup() as answering:
            while True:
                line = asyncio.create_task(reader.readline())
                await asyncio.wait([line, stopping], return_when=asyncio.FIRST_COMPLETED)
                if not line.done():
                    line.cancel()
                    break
                if not line.result():
                    break
                answering.create_task(_answer(session, line.result(), output, writing))
    finally:
        stopping.cancel()
        reading.close()
        sys.stdout.flush()
        os.dup2(output, 1)
        os.close(output)
    await session.finish()


async def _answer(session: Session, line: bytes, output: int, writing: asyncio.Lock) -> None:
    if not line.strip():
        return
    try:
        reply = await answer(session, json.loads(line))
    except (ValueError, RecursionError) as error:
        reply = failure(None, PARSE_ERROR, f"the line is not JSON: {error}")
    if reply is not None:
        text = json.dumps(reply, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        async with writing:
            await asyncio.to_thread(_write, output, text)


def _write(output: int, text: bytes) -> None:
    """Write a whole line; a pipe that nobody reads any more ends it."""
    try:
        while text:
            text = text[os.write(output, text) :]
    except OSError:
        return
