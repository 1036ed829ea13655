"""Answers messages that begin with "!echo". Usage: bot.py HOST:PORT NAME PASSWORD ROOM"""
import json, socket, sys, urllib.request

host, name, password, room = sys.argv[1:]
login = urllib.request.Request(f"http://{host}/auth/login/", json.dumps({"name": name, "password": password}).encode(),
                               {"Content-Type": "application/json", "Accept": "application/json"})
token = json.load(urllib.request.urlopen(login))["token"]
wire = socket.create_connection(host.rsplit(":", 1))
wire.sendall("\r\n".join([f"GET /chat/{room}/ HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol: backchat.v1.json", f"Authorization: Bearer {token}", "", ""]).encode())
stream, caught_up = wire.makefile("rb"), False
while stream.readline().strip(): pass  # the answer to the handshake
while head := stream.read(2):
    data = stream.read(head[1] if head[1] < 126 else int.from_bytes(stream.read(2 if head[1] == 126 else 8), "big"))
    if head[0] == 0x89: wire.sendall(b"\x8a\x80\0\0\0\0")  # a ping wants a pong
    frame = json.loads(data) if head[0] == 0x81 else {"type": "control"}
    print(frame, flush=True)
    caught_up = caught_up or frame["type"] == "caught_up"
    if caught_up and frame["type"] == "message" and frame["body"].startswith("!echo "):
        answer = json.dumps({"type": "send", "body": frame["body"][6:]}).encode()
        wire.sendall(b"\x81\xfe" + len(answer).to_bytes(2, "big") + bytes(4) + answer)
