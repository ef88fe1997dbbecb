"""The fan-out and the stream: bounded, honest about who was dropped, never held up by one client."""

import asyncio

import pytest

from serving.gateway.events import Event, EventHub, HubFullError
from serving.gateway.stream import EventStream

pytestmark = pytest.mark.anyio


def decision(number: int) -> Event:
    return Event("decision", f'{{"n":{number}}}', id=str(number))


async def test_every_stream_gets_every_event_in_order():
    hub = EventHub()
    streams = [hub.subscribe() for _ in range(3)]
    for number in range(5):
        hub.publish(decision(number))
    for stream in streams:
        assert [(await stream.next(1)).id for _ in range(5)] == ["0", "1", "2", "3", "4"]


async def test_a_stream_that_falls_behind_is_told_why_and_ended_while_the_others_go_on():
    hub = EventHub(capacity=3)
    slow, quick = hub.subscribe(), hub.subscribe()
    for number in range(4):
        hub.publish(decision(number))
        assert (await quick.next(1)).id == str(number)
    last = await slow.next(1)
    assert last.name == "end"
    assert "3 events behind" in last.data
    assert slow.is_slow
    assert slow.has_ended
    hub.publish(decision(9))
    assert await slow.next(0.01) is None
    assert (await quick.next(1)).id == "9"


async def test_at_most_so_many_streams_are_open():
    hub = EventHub(streams=2)
    first = hub.subscribe()
    hub.subscribe()
    with pytest.raises(HubFullError):
        hub.subscribe()
    hub.unsubscribe(first)
    hub.unsubscribe(first)
    assert hub.open_streams == 1
    hub.subscribe()


async def test_a_closing_hub_ends_every_stream_also_one_opened_too_late():
    hub = EventHub()
    early = hub.subscribe()
    hub.close()
    late = hub.subscribe()
    assert (await early.next(1)).name == (await late.next(1)).name == "end"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_data_of_several_lines_is_one_event():
    assert Event("resync", "a\nb", id="7").encode() == b"id: 7\nevent: resync\ndata: a\ndata: b\n\n"


class Client:
    """The server's side of one connection: takes what it is sent unless told to block."""

    def __init__(self) -> None:
        self.taken = bytearray()
        self.status = 0
        self.is_blocked = False
        self.gone = asyncio.Event()
        self.arrived = asyncio.Condition()

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        if self.is_blocked:
            await asyncio.Event().wait()
        async with self.arrived:
            self.taken += message["body"]
            self.arrived.notify_all()

    async def until(self, text: bytes):
        async with asyncio.timeout(5), self.arrived:
            await self.arrived.wait_for(lambda: text in self.taken)


def serve(hub, client, *, first=(), keep_alive=30.0, stall=30.0):
    subscription = hub.subscribe()
    left = []

    def leave(reason):
        hub.unsubscribe(subscription)
        left.append(reason)

    stream = EventStream(subscription, first, leave, keep_alive_seconds=keep_alive, stall_seconds=stall)
    return asyncio.create_task(stream({"type": "http"}, client.receive, client.send)), left


async def test_a_stream_says_when_to_reconnect_then_what_was_missed_then_what_happens():
    hub, client = EventHub(), Client()
    task, left = serve(hub, client, first=[decision(1)])
    await client.until(b'"n":1')
    hub.publish(decision(2))
    await client.until(b'"n":2')
    assert client.taken.startswith(b"retry: 2000\n\nid: 1\nevent: decision\n")
    client.gone.set()
    await task
    assert left == [None]
    assert hub.open_streams == 0


async def test_silence_is_broken_by_comments():
    hub, client = EventHub(), Client()
    task, _ = serve(hub, client, keep_alive=0.01)
    await client.until(b": keep-alive\n\n: keep-alive\n\n")
    client.gone.set()
    await task


async def test_a_client_that_takes_nothing_is_dropped_as_stalled():
    hub, client = EventHub(), Client()
    task, left = serve(hub, client, stall=0.05)
    await client.until(b"retry")
    client.is_blocked = True
    hub.publish(decision(1))
    await asyncio.wait_for(task, 5)
    assert left == ["stalled"]
    assert hub.open_streams == 0


async def test_a_client_that_overflows_reads_the_reason_and_the_stream_ends():
    hub, client = EventHub(capacity=2), Client()
    task, left = serve(hub, client)
    await client.until(b"retry")
    for number in range(3):  # without a pause in which the stream could send
        hub.publish(decision(number))
    await asyncio.wait_for(task, 5)
    assert b"slow client: 2 events behind" in client.taken
    assert left == ["slow"]


async def test_a_stream_nobody_reads_any_more_is_left_at_once():
    hub, client = EventHub(), Client()
    task, left = serve(hub, client)
    await client.until(b"retry")
    client.is_blocked = True
    hub.publish(decision(1))
    client.gone.set()
    await asyncio.wait_for(task, 5)
    assert left == [None]


def test_a_separator_inside_a_string_does_not_cut_the_json_in_two():
    data = '{"reason":"one\u2028two\x85three"}'
    assert Event("decision", data, id="1").encode() == f"id: 1\nevent: decision\ndata: {data}\n\n".encode()
    assert (
        Event("resync", "a\r\nb\nc\rd").encode() == b"event: resync\ndata: a\ndata: b\ndata: c\ndata: d\n\n"
    )
