// Messages and changes of messages on their way. Each is kept until the server has it: shown
// at once, sent in order, sent again with the same id after whatever goes wrong.

const STUCK_MS = 10000;
const UNANSWERED_MS = 15000;
const UNSEEN_MS = 4000;
/** Refusals that pass by themselves; what was refused waits and is sent again. */
const PASSING = new Set(["too_fast", "not_confirmed", "unavailable", "busy"]);

/**
 * By id, in the order of writing. `kind` is send, edit, delete or react; `state` is queued, sent,
 * stored or refused. A change has a `target`; a message has its own `row`.
 */
const entries = new Map();
const prefix = `${keyOf("out")}.`;
const KEPT = ["id", "kind", "text", "target", "targetSeq", "reaction", "on", "writtenMs", "reason", "code"];

/** Shows and sends a message or a change. */
function enqueue(what) {
  const entry = { ...what, id: newId(), writtenMs: Date.now(), state: "queued" };
  keep(entry);
  addEntry(entry);
  pump();
}

function keep(entry) {
  const lasting = Object.fromEntries(KEPT.map((name) => [name, entry[name]]));
  kept.set(prefix + entry.id, JSON.stringify({ ...lasting, state: entry.state === "refused" ? "refused" : "queued" }));
}

function addEntry(entry) {
  Object.assign(entry, { kind: entry.kind ?? "send", shownMs: Date.now(), retryAtMs: 0 });
  entries.set(entry.id, entry);
  if (entry.kind === "send") {
    entry.row = pendingRow(entry);
    outbox.append(entry.row);
    dress(entry.row);
  }
  if (entry.state === "refused") showFate(entry);
  else repaint(entry);
}

/** Shows a change on its message, if the list has that. */
function repaint(entry) {
  const row = entry.target && byId(entry.target);
  if (row) keepingPlace(() => paint(row), row);
}

function pendingRow(entry) {
  const row = byId("pending").content.firstElementChild.cloneNode(true);
  row.id = entry.id;
  row.atMs = entry.writtenMs;
  const body = row.querySelector(".body");
  body.append(...linked(entry.text));
  const isEmoji = /^(?=.*\p{Extended_Pictographic})(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|[\u200d\ufe0f\s]){1,32}$/u;
  body.classList.toggle("emoji", isEmoji.test(entry.text));
  listenToFate(row.querySelector(".fate"), entry.id);
  return row;
}

function listenToFate(fate, id) {
  fate.addEventListener("click", (event) => {
    const { act } = event.target.dataset;
    if (act === "again") again(id);
    else if (act === "drop") settle(id);
  });
}

/** The text with its web addresses as links, as the server will write them. */
function linked(text) {
  return text.split(/(\bhttps?:\/\/[^\s<>"'`\\]*[^\s<>"'`\\.,;:!?…»”’)])/u).map((part, index) => {
    if (index % 2 === 0) return part;
    const link = document.createElement("a");
    link.href = part;
    link.rel = "noopener noreferrer nofollow";
    link.target = "_blank";
    link.textContent = part;
    return link;
  });
}

/** Shows again what an earlier page of this room could not send. */
function restoreOutbox() {
  for (const key of kept.keys(prefix).sort()) {
    try {
      const entry = JSON.parse(kept.get(key));
      if (byId(entry.id)) kept.drop(key);
      else addEntry(entry);
    } catch {
      kept.drop(key);
    }
  }
}

function frameOf({ kind, id, text, target, targetSeq, reaction, on }) {
  const aim = { id, target, target_seq: targetSeq };
  switch (kind) {
    case "edit": return { type: kind, ...aim, body: text };
    case "delete": return { type: kind, ...aim };
    case "react": return { type: kind, ...aim, reaction, on };
    default: return { type: "send", message: text, id };
  }
}

/** Sends the first of what waits, unless one is on its way: so order is kept. */
function pump() {
  if (!isLive()) return;
  for (const entry of entries.values()) {
    if (entry.state === "sent") return;
    if (entry.state !== "queued") continue;
    if (entry.retryAtMs > Date.now()) return;
    if (!say(frameOf(entry))) return;
    entry.state = "sent";
    entry.sentMs = Date.now();
    return;
  }
}

/** The server has stored it; its row or change comes, or came, with the others. */
function acknowledged(id, seq) {
  const entry = entries.get(id);
  if (!entry) return;
  kept.drop(prefix + id);
  entry.state = "stored";
  entry.seq = seq;
  entry.storedMs = Date.now();
  hideFate(entry);
  if (seq <= page.head) settle(id);
  pump();
}

/** Done with it: the list shows it, or a person let it go. */
function settle(id) {
  const entry = entries.get(id);
  kept.drop(prefix + id);
  if (!entry) return;
  entries.delete(id);
  if (entry.row) {
    entry.row.remove();
    dressPending();
  } else {
    repaint(entry);
  }
  pump();
}

function refused(id, code, reason, retryAfterMs) {
  const entry = entries.get(id);
  if (!entry) return;
  if (retryAfterMs !== undefined || PASSING.has(code)) {
    entry.state = "queued";
    entry.retryAtMs = Date.now() + (Number(retryAfterMs) || 2000) * between(1, 1.25);
    entry.reason = reason;
  } else {
    if (entry.target && byId(entry.target)?.dataset.kind === "erased") {
      settle(id);
      return;
    }
    Object.assign(entry, { state: "refused", reason, code });
    keep(entry);
    showFate(entry);
  }
  pump();
}

function showFate(entry) {
  entry.isStuck = true;
  if (!entry.row) {
    repaint(entry);
    return;
  }
  sayFate(entry, entry.row.querySelector(".fate"));
  entry.row.classList.add("is-stuck");
  if (place.following) follow();
}

function sayFate(entry, fate) {
  fate.querySelector(".reason").textContent = entry.reason ? `${words.notSent}: ${entry.reason}` : words.notSent;
  fate.querySelector('[data-act="again"]').hidden = FINAL.has(entry.code);
  fate.hidden = false;
}

function hideFate(entry) {
  entry.isStuck = false;
  if (!entry.row) {
    repaint(entry);
    return;
  }
  entry.row.querySelector(".fate").hidden = true;
  entry.row.classList.remove("is-stuck");
}

/**
 * Sends it again. What was refused because its id was taken gets an id of its own; a refused text of
 * an edit is put into the field, to be written better.
 */
function again(id) {
  const entry = entries.get(id);
  if (!entry) return;
  if (entry.kind === "edit" && entry.state === "refused" && byId(entry.target)) {
    settle(id);
    edit(byId(entry.target), entry.text);
    return;
  }
  if (entry.code === "id_reused") {
    settle(id);
    const { kind, text, target, targetSeq, reaction, on } = entry;
    enqueue({ kind, text, target, targetSeq, reaction, on });
    return;
  }
  Object.assign(entry, { state: entry.state === "sent" ? "sent" : "queued", retryAtMs: 0, reason: "", code: "", shownMs: Date.now() });
  hideFate(entry);
  keep(entry);
  connectNow();
  pump();
}

/** What was sent on a socket that is gone may be lost: it waits for the next one. */
function requeue() {
  for (const entry of entries.values()) {
    if (entry.state === "sent") entry.state = "queued";
  }
}

/** A message too large for the socket closes it; it must not be sent again by itself. */
function refuseTooLong() {
  for (const entry of entries.values()) {
    if (entry.state === "sent") refused(entry.id, "too_long", words.tooLong);
  }
}

function dressPending() {
  for (const row of outbox.children) dress(row);
}

/** Looks again and again for what waits too long. */
function watchOutbox(now) {
  for (const entry of entries.values()) {
    const isOut = entry.state === "queued" || entry.state === "sent";
    if (isOut && now - entry.shownMs > STUCK_MS && !entry.isStuck) showFate(entry);
    if (entry.state === "sent" && now - entry.sentMs > UNANSWERED_MS) {
      entry.state = "queued";
      entry.retryAtMs = now + between(0, 2000);
    }
    // Stored, and the live row did not come: the cursor fetches it.
    if (entry.state === "stored" && now - entry.storedMs > UNSEEN_MS) {
      entry.storedMs = now;
      resume();
    }
  }
  pump();
}

/** Another tab of this room has settled what both show. */
function onStorage(event) {
  if (event.newValue !== null || !event.key?.startsWith(prefix)) return;
  const id = event.key.slice(prefix.length);
  if (entries.get(id)?.state === "queued" || entries.get(id)?.state === "refused") settle(id);
}

