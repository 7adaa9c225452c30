"""One conversation of Paho for Python with a broker: `paho_client.py TRANSPORT VERSION PORT CA`.

It prints a line of JSON for each thing that happened and ends with 0 when it has seen everything. The last
message that it waits for is the will of a second client, a process that ends without DISCONNECT.
"""

import json
import os
import ssl
import subprocess
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

transport, version, port, authority = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
name = f"paho-{transport}-{version}"
topic = f"{name}/topic"
is_version_5 = version == mqtt.MQTTv5
expected = 4


def tell(**what):
    print(json.dumps(what), flush=True)


def make(client_id):
    stream = "websockets" if transport in ("ws", "wss") else "tcp"
    options = {} if is_version_5 else {"clean_session": True}
    client = mqtt.Client(client_id, protocol=version, transport=stream, **options)
    if stream == "websockets":
        client.ws_set_options(path="/mqtt")
    if transport in ("tls", "wss"):
        client.tls_set(authority, tls_version=ssl.PROTOCOL_TLS_CLIENT)
    return client


def properties():
    if not is_version_5:
        return None
    chosen = Properties(PacketTypes.PUBLISH)
    chosen.ContentType = "text/plain"
    chosen.CorrelationData = b"\x00\xff"
    chosen.ResponseTopic = "answers"
    chosen.UserProperty = [("a", "1"), ("a", "2")]
    return chosen


def shown(packet):
    if not is_version_5:
        return None
    found = packet.properties
    return [
        getattr(found, "ContentType", None),
        getattr(found, "CorrelationData", b"").hex(),
        getattr(found, "ResponseTopic", None),
        [list(pair) for pair in getattr(found, "UserProperty", [])],
    ]


def on_connect(client, _userdata, flags, code, *_rest):
    tell(event="connect", code=getattr(code, "value", code), present=flags["session present"])
    client.subscribe(f"{name}/#", 2)


def on_subscribe(client, _userdata, _mid, granted, *_rest):
    tell(event="subscribe", granted=[getattr(code, "value", code) for code in granted])
    for qos in (0, 1, 2):
        client.publish(topic, f"qos {qos}", qos, properties=properties())


seen = []


def on_message(client, _userdata, packet):
    tell(event="message", topic=packet.topic, payload=packet.payload.decode(), qos=packet.qos,
         retain=bool(packet.retain), properties=shown(packet))
    seen.append(packet)
    if len(seen) == expected - 1:
        subprocess.Popen([sys.executable, __file__, *sys.argv[1:5], "victim"])
    if len(seen) == expected:
        client.disconnect()


def on_disconnect(_client, _userdata, code, *_rest):
    tell(event="disconnect", code=getattr(code, "value", code))


def leave(*_arguments):
    os._exit(0)


if sys.argv[5:] == ["victim"]:
    client = make(f"{name}-v")
    client.will_set(f"{name}/will", "gone", 1)
    client.on_connect = leave
else:
    client = make(name)
    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.on_disconnect = on_disconnect
client.connect("127.0.0.1", port)
client.loop_forever()
