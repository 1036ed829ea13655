// Changes of messages that are in the list: edits, deletions, reactions. What the server
// told is kept apart from what this person has on its way, so that a refusal can take back.

const RECENT_MAX = 300;
/** By message: the changes of late. A page of history may be older than they are. */
const recent = new Map();
/** The name under which this person's own reactions are shown. */
const viewerName = byId("pending").content.querySelector(".who").textContent;
/** Refusals that trying again would only repeat. */
const FINAL = new Set(["no_such_message", "not_allowed", "too_many_edits"]);

const isMessage = (row) => row?.dataset.kind === "message" && row.dataset.seq !== undefined;
const isMine = (row) => row.dataset.author === page.viewer;
const bodyOf = (row) => row.querySelector(":scope > .body");
const aimedAt = (row) => ({ target: row.id, targetSeq: seqOf(row) });

/** This person's changes of a message that are on their way, oldest first. */
const changesFor = (target, kind) =>
  [...entries.values()].filter((entry) => entry.target === target && entry.kind === kind && entry.state !== "refused");

/** Applies what the server said, for rows in the list and for those that are loaded later. */
function applyChange(change) {
  const { kind, target } = change.dataset;
  if (kind === "erased") return;
  if (kind === "expired") {
    expire(Number(change.dataset.upto));
    return;
  }
  const known = recent.get(target) ?? [];
  recent.delete(target);
  recent.set(target, kind === "deleted" ? [change] : [...known, change]);
  if (recent.size > RECENT_MAX) recent.delete(recent.keys().next().value);
  const row = byId(target);
  if (isMessage(row)) changeRow(row, change);
}

/** A row that was just loaded gets the changes that its page may not have had. */
function catchUp(row) {
  recent.get(row.id)?.forEach((change) => { if (isMessage(row)) changeRow(row, change); });
}

function changeRow(row, change) {
  const { kind, author, reaction, on } = change.dataset;
  if (kind === "deleted" || kind === "unopened") {
    eraseRow(row, kind === "deleted" ? "erased" : kind);
    return;
  }
  if (kind === "edited") takeText(row, change.querySelector(".body").cloneNode(true));
  else react(reactionsOf(row), { reaction, on: on === "true", id: author, name: change.querySelector(".who").textContent });
  paint(row);
}

/** The message has a new text. A page that knew an even newer one keeps that. */
function takeText(row, body) {
  const before = row.givenBody ?? bodyOf(row);
  if ((before.dataset.editedAt ?? "") > body.dataset.editedAt) return;
  if (row.givenBody) row.givenBody = body;
  else before.replaceWith(body);
  dressBody(row);
  if (row === lastRow()) showLastInRooms(row);
}

/** Nothing of the message stays but who wrote it and when: it was deleted, or its text can't be opened. */
function eraseRow(row, kind) {
  const hadFocus = row.contains(document.activeElement);
  if (toolsRow() === row) hideTools();
  const what = document.createElement("p");
  what.className = "what";
  bodyOf(row).before(what);
  what.append(row.querySelector(":scope > .who"), ` ${words[kind]}`);
  row.querySelectorAll(":scope > :is(.avatar, .body, .reactions, .more, .fate, .row-more)").forEach((part) => part.remove());
  row.dataset.kind = kind;
  row.classList.remove("is-going", "is-edited-now");
  row.classList.add("note");
  row.givenBody = row.reactions = null;
  byId("announce").textContent = "";
  leaveErased(row.id);
  dressAll([row]);
  if (hadFocus) row.focus({ preventScroll: true });
  if (row === lastRow()) showLastInRooms(row);
}

/** What was on its way to a message that is gone has nowhere to go. */
function leaveErased(id) {
  if (editing.id === id) leaveEditing(true);
  for (const entry of [...entries.values()]) {
    if (entry.target === id && entry.state !== "sent") settle(entry.id);
  }
}

/** Shows a message as the server told it, with this person's own changes over it. */
function paint(row) {
  if (!isMessage(row)) return;
  showText(row, changesFor(row.id, "edit").at(-1));
  row.classList.toggle("is-going", changesFor(row.id, "delete").length > 0);
  showReactions(row);
  showFates(row);
}

function showText(row, edit) {
  const shown = bodyOf(row);
  if (!edit) {
    if (!row.givenBody) return;
    shown.replaceWith(row.givenBody);
    row.givenBody = null;
  } else if (!row.givenBody || shown.textContent !== edit.text) {
    row.givenBody ??= shown;
    const body = document.createElement("div");
    body.className = "body";
    body.dir = "auto";
    body.dataset.edited = words.edited;
    body.append(...linked(edit.text));
    shown.replaceWith(body);
  }
  dressBody(row);
}

/** Says beside the message what became of changes that wait too long or were refused. */
function showFates(row) {
  const wanted = [...entries.values()].filter((entry) => entry.target === row.id && entry.isStuck);
  for (const fate of row.querySelectorAll(":scope > .fate")) {
    if (!wanted.some((entry) => entry.fate === fate)) fate.remove();
  }
  for (const entry of wanted) {
    entry.fate ??= newFate(entry);
    sayFate(entry, entry.fate);
    if (entry.fate.parentElement !== row) row.append(entry.fate);
  }
}

function newFate(entry) {
  const fate = byId("pending").content.querySelector(".fate").cloneNode(true);
  fate.querySelector('[data-act="drop"]').textContent = words.dismiss;
  fate.setAttribute("role", "status");
  listenToFate(fate, entry.id);
  return fate;
}
