// One socket per page, and one rule for coming back. The extension opens the socket
// and hands over what it says; when it is gone, this file decides what is next.

const SHOWN_AFTER_MS = 3000;
const OFFLINE_AFTER_MS = 10000;
const SILENCE_MS_MAX = 45000;
/** How soon a silent socket of a visible page is asked for a sign of life. */
const PROBE_AFTER_MS = { busy: 2000, quiet: 15000 };
const PATIENCE_MS_MIN = 2000;
const BUSY_MS = 120000;
const REFUSALS_MAX = 3;

const link = {
  /** idle, waiting, opening, open (not caught up), live, ended. */
  phase: "idle",
  socket: null,
  attempt: 0,
  /** Handshakes in a row that ended with "session ended". */
  refusals: 0,
  /** Since when the page is not connected. */
  lostMs: Date.now(),
  sinceMs: 0,
  heardMs: 0,
  /** When the probe that nothing was heard after, and the one without its answer, were sent. */
  probeMs: 0,
  askedMs: 0,
  lastRowMs: Date.now(),
  resumedMs: 0,
  /** How much longer than usual an answer may take: doubled when one did not come in time. */
  doubt: 1,
  /** One round trip, as far as it is known. */
  roundTripMs: firstRoundTrip(),
  renewedMs: Date.now(),
  /** The server has too many sockets of this person or address, until it takes this one. */
  isTooMany: false,
  isLeaving: false,
  timer: 0,
};
const connectionLine = byId("connection");

function firstRoundTrip() {
  const loaded = performance.getEntriesByType("navigation")[0];
  return loaded ? Math.max(0, loaded.responseStart - loaded.requestStart) : 0;
}

const isLive = () => link.phase === "live";
const isUp = () => link.phase === "live" || link.phase === "open";

/** Says a frame, if the socket can take it. */
function say(frame) {
  if (link.socket?.readyState !== WebSocket.OPEN) return false;
  link.socket.send(JSON.stringify(frame));
  return true;
}

/**
 * Lets go of the socket without waiting for the other side; nothing of it is heard any more.
 * The element is set up anew by hand: the library may have gone over the page before the
 * extension had loaded.
 */
function letGo() {
  link.socket = null;
  link.probeMs = link.askedMs = 0;
  requeue();
  window.htmx?.process(wire, true);
}

async function connect() {
  clearTimeout(link.timer);
  if (link.phase === "ended" || link.isLeaving) return;
  letGo();
  link.phase = "opening";
  link.sinceMs = Date.now();
  const sinceMs = link.sinceMs;
  if (isRenewalDue() && navigator.onLine && await renew() === "ended") return;
  if (link.phase !== "opening" || link.sinceMs !== sinceMs) return;
  wire.dispatchEvent(new CustomEvent("backchat:connect"));
}

/** Comes back from the cursor: at once, unless that was tried just now. */
function resume() {
  const AGAIN_MS = 3000;
  if (link.phase === "ended") return;
  const isAgain = Date.now() - link.resumedMs < AGAIN_MS;
  link.resumedMs = Date.now();
  comeBackIn(isAgain ? backoffMs(8000) : 0);
}

/** Does not wait for the next try, if the page waits for one. */
function connectNow() {
  if (link.phase === "waiting" || link.phase === "idle") connect();
}

function comeBackIn(delayMs) {
  markLost();
  letGo();
  clearTimeout(link.timer);
  link.timer = setTimeout(connect, delayMs);
  showConnection();
}

/** The page is no longer connected, since then. */
function markLost(ms = Date.now()) {
  if (isUp()) link.lostMs = ms;
  link.phase = "waiting";
}

/** A pause that grows with each try, with a part of chance. */
function backoffMs(maxMs) {
  link.attempt += 1;
  return between(0.5, 1) * Math.min(maxMs, 600 * 2 ** (link.attempt - 1)) + between(0, 400);
}

function onOpen(event) {
  link.socket = event.detail.connection.socket;
  link.phase = "open";
  link.roundTripMs = Math.max(link.roundTripMs / 2, Date.now() - link.sinceMs);
  link.sinceMs = link.heardMs = Date.now();
  showConnection();
}

/** Everything up to the room's end was shown; what waits can be sent. */
function caughtUp() {
  if (link.phase !== "open") return;
  link.phase = "live";
  link.refusals = 0;
  link.isTooMany = false;
  showConnection();
  pump();
}

function onClose(event) {
  const { code, reason } = event.detail;
  if (reason !== "closed" || link.isLeaving || link.phase === "ended") return;
  const STABLE_MS = 5000;
  if (isUp()) link.attempt = Date.now() - link.sinceMs > STABLE_MS ? 0 : Math.min(link.attempt, 2);
  link.socket = null;
  switch (code) {
    case 4401: sessionEnded(); break;
    case 4403: end("noLongerMember", words.toMyRooms, "/"); break;
    case 1008: end("closedForAbuse", words.reconnect, null); break;
    case 1009: refuseTooLong(); comeBackIn(backoffMs(8000)); break;
    case 4408: comeBackIn(1000 + backoffMs(15000)); break;
    case 4429: link.isTooMany = true; comeBackIn(between(10000, 30000)); break;
    default: comeBackIn(backoffMs(8000));
  }
}

async function sessionEnded() {
  markLost();
  letGo();
  link.refusals += 1;
  if (link.refusals >= REFUSALS_MAX) {
    end("sessionEnded", words.logInAgain, loginAddress());
    return;
  }
  const outcome = await renew();
  if (outcome === "renewed") comeBackIn(between(0, 300));
  else if (outcome === "away") {
    link.refusals -= 1;
    comeBackIn(backoffMs(8000));
  }
}

const loginAddress = () => `/auth/login/?next=${encodeURIComponent(location.pathname)}`;

/** No more tries by itself: says why and what a person can do. */
function end(word, action, address) {
  link.phase = "ended";
  letGo();
  clearTimeout(link.timer);
  const control = document.createElement(address ? "a" : "button");
  control.textContent = action;
  if (address) control.href = address;
  else {
    control.className = "button";
    control.addEventListener("click", () => {
      link.phase = "idle";
      connect();
    });
  }
  connectionLine.replaceChildren(words[word], " ", control);
  connectionLine.classList.add("is-bad");
}

/** Gets a new token with the browser's refresh secret: renewed, ended or away. */
function renew() {
  renew.running ??= askForToken().finally(() => { renew.running = null; });
  return renew.running;
}

async function askForToken() {
  let status = 0;
  try {
    const response = await fetch("/auth/renew/", { method: "POST", signal: AbortSignal.timeout(10000) });
    status = response.status;
  } catch {
    return "away";
  }
  if (status === 401 || status === 403) {
    end("sessionEnded", words.logInAgain, loginAddress());
    return "ended";
  }
  // Whatever the answer, the next time is not at once.
  link.renewedMs = Date.now();
  return status < 300 ? "renewed" : "away";
}

const isRenewalDue = () => page.renewAfterMs > 0 && Date.now() - link.renewedMs > page.renewAfterMs;

/** What is said about the connection, in a line that is always there. */
function showConnection() {
  if (link.phase === "ended") return;
  const lostForMs = isUp() ? 0 : Date.now() - link.lostMs;
  const usual = lostForMs < SHOWN_AFTER_MS ? "" : lostForMs < OFFLINE_AFTER_MS ? words.reconnecting : words.offline;
  const text = link.isTooMany ? words.tooManyWindows : usual;
  if (connectionLine.textContent !== text) connectionLine.textContent = text;
  presence.classList.toggle("is-stale", lostForMs >= SHOWN_AFTER_MS);
  connectionLine.classList.toggle("is-bad", lostForMs >= OFFLINE_AFTER_MS);
}

/** Asks the server for a sign of life: an empty page of history. */
function probe() {
  if (link.probeMs > 0 || !say({ type: "page", before: 1, limit: 1 })) return;
  link.probeMs = Date.now();
  link.askedMs ||= link.probeMs;
}

/** The answer to a probe tells how long a round trip takes; one slow one is remembered for a while. */
function answered() {
  if (link.askedMs > 0) {
    const tookMs = Date.now() - link.askedMs;
    link.roundTripMs = Math.max(tookMs, link.roundTripMs * 0.7);
    if (tookMs < PATIENCE_MS_MIN) link.doubt = Math.max(1, link.doubt / 2);
  }
  link.askedMs = 0;
}

function heard(event) {
  // What an abandoned socket still had in its queue is said again by the next one.
  if (event.detail.connection.socket !== link.socket) {
    event.preventDefault();
    return;
  }
  link.heardMs = Date.now();
  link.probeMs = 0;
}

/** Looks again and again whether the socket is alive, and whether to say something. */
function watchConnection(now) {
  const patienceMs = 3 * link.roundTripMs;
  if (link.phase === "opening" && now - link.sinceMs > Math.max(6000, patienceMs)) comeBackIn(between(0, 500));
  // A server that says nothing of "caught up" must not hold back what waits for ever.
  if (link.phase === "open" && now - link.sinceMs > Math.max(5000, patienceMs)) caughtUp();
  if (link.phase === "live") watchSilence(now, Math.max(PATIENCE_MS_MIN * link.doubt, patienceMs));
  if (isRenewalDue() && link.phase === "live") renew();
  showConnection();
}

function watchSilence(now, patienceMs) {
  const silentMs = now - link.heardMs;
  const isUnanswered = link.probeMs > 0 && now - link.probeMs > patienceMs;
  if (isUnanswered || silentMs > SILENCE_MS_MAX) {
    link.doubt = Math.min(16, link.doubt * 2);
    markLost(link.heardMs);
    resume();
  } else if (!document.hidden) {
    const isBusy = now - link.lastRowMs < BUSY_MS || entries.size > 0;
    if (silentMs > (isBusy ? PROBE_AFTER_MS.busy : PROBE_AFTER_MS.quiet)) probe();
  }
}

/** The page is looked at again, or the network is back. */
function wake() {
  if (link.phase === "live") probe();
  else connectNow();
}

function goOffline() {
  if (link.phase === "ended") return;
  comeBackIn(5000);
}

function startConnection() {
  document.addEventListener("htmx:ws:before:connection", (event) => {
    const { connection } = event.detail;
    const address = new URL(connection.url);
    if (page.stream) address.searchParams.set("after", `${page.stream}.${page.head}`);
    connection.url = address.href;
  });
  document.addEventListener("htmx:ws:after:connection", onOpen);
  document.addEventListener("htmx:ws:close", onClose);
  document.addEventListener("htmx:ws:before:message:incoming", heard);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) wake(); });
  addEventListener("online", wake);
  addEventListener("offline", goOffline);
  addEventListener("pagehide", () => { link.isLeaving = true; });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    link.isLeaving = false;
    if (link.phase !== "ended") resume();
  });
}

