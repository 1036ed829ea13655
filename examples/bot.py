"""Answers every message that begins with "!echo". Usage: bot.py HOST:PORT NAME PASSWORD ROOM"""
import json, socket, struct, sys, urllib.request

host, name, password, room = sys.argv[1:]
headers = {"Content-Type": "application/json", "Accept": "application/json"}
login = urllib.request.Request(f"http://{host}/auth/login/", json.dumps({"name": name, "password": password}).encode(), headers)
me = json.load(urllib.request.urlopen(login))  # {"token": …, "expires_at": …, "user": {"id", "name"}}
wire = socket.create_connection(host.rsplit(":", 1))
wire.sendall(f"GET /chat/{room}/ HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: backchat.v1.json\r\n"
             f"Authorization: Bearer {me['token']}\r\n\r\n".encode())
stream = wire.makefile("rb")
while stream.readline() not in (b"\r\n", b""): pass
caught_up = False
while head := stream.read(2):
    size = {126: lambda: struct.unpack("!H", stream.read(2))[0], 127: lambda: struct.unpack("!Q", stream.read(8))[0]}.get(head[1], lambda: head[1])()
    data = stream.read(size)
    if head[0] == 0x89: wire.sendall(b"\x8a\x80\0\0\0\0")  # a ping wants a pong
    if head[0] != 0x81: continue
    frame = json.loads(data)
    print(frame, flush=True)
    caught_up |= frame["type"] == "caught_up"
    if caught_up and frame["type"] == "message" and frame["body"].startswith("!echo"):
        answer = json.dumps({"type": "send", "body": frame["body"][5:].strip() or "…"}).encode()
        wire.sendall(b"\x81\xfe" + struct.pack("!H", len(answer)) + bytes(4) + answer)
