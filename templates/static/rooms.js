// The list of rooms moves by itself: the server sends a room's entry when something happened in it.

const PAUSE_MS_MIN = 500;
const PAUSE_MS_MAX = 30000;
const SILENCE_MS = 45000;
const SESSION_ENDED = 4401;
const TOO_MANY = 4429;

const list = document.querySelector(".room-list");
const link = { socket: null, failures: 0, heardMs: 0, timer: 0 };

/** Full jitter, so that many pages do not come back in the same instant. */
function pauseMs(closeCode) {
  const ceiling = closeCode === TOO_MANY ? PAUSE_MS_MAX : Math.min(PAUSE_MS_MIN * 2 ** link.failures, PAUSE_MS_MAX);
  return PAUSE_MS_MIN + Math.random() * ceiling;
}

function connect() {
  clearTimeout(link.timer);
  const address = new URL("/chat/", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  link.socket = socket;
  link.heardMs = Date.now();
  socket.addEventListener("message", (event) => {
    link.failures = 0;
    link.heardMs = Date.now();
    take(event.data);
  });
  socket.addEventListener("close", (event) => {
    if (link.socket === socket) lost(event.code);
  });
}

function lost(closeCode) {
  link.socket = null;
  if (closeCode === SESSION_ENDED) {
    location.reload();
    return;
  }
  link.timer = setTimeout(connect, pauseMs(closeCode));
  link.failures += 1;
}

/** An entry takes the place of the room's old one, and the top, unless the pointer is in the list just now. */
function take(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const entry = holder.content.querySelector("li[data-room]");
  if (!entry) return;
  const old = [...list.children].find((item) => item.dataset.room === entry.dataset.room);
  if (old && Number(old.dataset.seq) >= Number(entry.dataset.seq)) return;
  entry.querySelectorAll("time[data-short]").forEach((time) => globalThis.backchat?.showShortTime(time));
  const hadFocus = old?.contains(document.activeElement);
  if (old && list.matches(":hover")) {
    old.replaceWith(entry);
  } else {
    old?.remove();
    list.prepend(entry);
  }
  if (hadFocus) entry.querySelector("a").focus({ preventScroll: true });
}

/** A socket that says nothing for so long is dead, whatever the browser thinks of it. */
function lookForSilence() {
  if (link.socket && Date.now() - link.heardMs > SILENCE_MS) {
    const dead = link.socket;
    lost(0);
    dead.close();
  }
}

function comeBackNow() {
  if (link.socket) return;
  link.failures = 0;
  connect();
}

if (list) {
  connect();
  setInterval(lookForSilence, 5000);
  addEventListener("online", comeBackNow);
  addEventListener("pageshow", (event) => event.persisted && comeBackNow());
  addEventListener("pagehide", () => link.socket?.close());
}
