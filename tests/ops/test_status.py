"""`fulfillment status` is readable on a terminal of 80 columns."""

from io import StringIO
from pathlib import Path

import pytest
from aiohttp import web
from helpers_ops import some_ports
from rich.console import Console

from ops.commands.status import report
from ops.stack import state
from ops.stack.state import Process, Stack
from ops.stack.status import Condition, Status, collect
from streams.runtime.settings import Settings

BLOCKED = "order-events/3 is blocked at offset 17: the event cannot be projected. Skip it with `fulfillment skip`."
PROCESSES = [
    Process(name="kafka", role="kafka", pid=4_194_303, port=19092),
    Process(name="projector-10", role="projector", pid=4_194_302, port=18010, restarts=120),
    Process(name="projector-11", role="projector", pid=4_194_301, port=18011),
]


def printed(status: Status, settings: Settings) -> list[str]:
    output = StringIO()
    Console(file=output, width=80).print(report(status, settings))
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_every_process_has_one_line_and_every_reason_is_a_sentence_below(tmp_path: Path) -> None:
    conditions = [
        Condition(PROCESSES[0], "ready"),
        Condition(PROCESSES[1], "restarting", [BLOCKED]),
        Condition(PROCESSES[2], "unready", [BLOCKED, "MongoDB is unreachable (127.0.0.1:1: Connection refused)"]),
    ]
    lag = {"projector": {"inventory-events": 1_234_567, "command-outcomes": 0}}
    lines = printed(Status(conditions, lag, True), Settings(data=tmp_path))
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line.split() for line in lines if line.strip()}
    assert rows["projector-10"] == ["projector-10", "restarting", "4194302", "18010", "120"]
    assert rows["projector-11"][1] == "unready"
    assert any(line.split() == ["projector", "inventory-events", "1,234,567"] for line in lines)
    text = " ".join(" ".join(lines).split())
    assert f"projector-10, projector-11: {BLOCKED}" in text
    assert text.count(BLOCKED) == 1
    assert "projector-11: MongoDB is unreachable (127.0.0.1:1: Connection refused)" in text


@pytest.mark.parametrize(
    ("status", "answer", "reasons"),
    [
        (503, web.json_response({"reasons": {"kafka": "Kafka is unreachable"}}, status=503), ["Kafka is unreachable"]),
        (
            503,
            web.json_response({"reasons": [{"topic": "order-events", "partitions": [3, 4]}]}, status=503),
            ["topic: order-events, partitions: 3, 4"],
        ),
        (
            503,
            web.Response(text='{"status":"DOWN","components":{"db":{"status":"DOWN"}}}', status=503),
            [
                "another program may be using its port: /readyz answered 503 with "
                '\'{"status":"DOWN","components":{"db":{"status":"DOWN"}}}\''
            ],
        ),
        (200, web.Response(text="welcome"), []),
    ],
)
async def test_an_answer_of_readyz_becomes_sentences(
    tmp_path: Path, status: int, answer: web.Response, reasons: list[str]
) -> None:
    import psutil

    async def respond(request: web.Request) -> web.Response:
        return answer if request.path == "/readyz" else web.Response(status=404)

    (port,) = some_ports(1)
    runner = web.AppRunner(app := web.Application())
    app.router.add_get("/{path}", respond)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    me = psutil.Process()
    worker = Process(name="api-0", role="api", pid=me.pid, started=state.started(me), port=port)
    state.write(Stack(pid=me.pid, host="127.0.0.1", phase="complete", processes=[worker]), tmp_path)
    try:
        found = await collect(Settings(data=tmp_path))
    finally:
        await runner.cleanup()
    (condition,) = found.processes
    assert condition.state == ("ready" if status == 200 else "unready")
    assert list(condition.reasons) == reasons
