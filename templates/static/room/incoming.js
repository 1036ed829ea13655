// What the server says. Rows are checked before they are swapped in: copies are
// dropped, a hole in the chain of sequences is never shown, own ones settle the outbox.

const ANNOUNCE_MS = 2000;
const announcer = { waiting: [], timer: 0 };
/** Rows that the running swap puts into the list. */
let arrived = [];
/** Changes of rows that came with it. */
let changes = [];

function onBeforeSwap(event) {
  const { ctx, tasks } = event.detail;
  if (ctx.sourceElement !== wire) return;
  arrived = [];
  changes = [];
  for (const task of tasks) {
    const content = task.fragment.firstElementChild;
    if (task.target === list && content) {
      const isPage = task.swapSpec.style === "afterbegin";
      for (const row of [...content.children]) {
        if (isPage || !accept(row)) row.remove();
      }
      // New rows stand above those that are on their way.
      task.target = outbox;
      task.swapSpec = { ...task.swapSpec, style: "beforebegin", strip: true };
    } else if (content?.id === "status") {
      onStatus(content);
    } else if (content?.id === "presence" || content?.id === "typing") {
      if (content.id === "presence") onPresence(content);
      else onTyping(content);
      task.swapSpec = { style: "none" };
    }
  }
}

/** Whether a row is to be shown now. A change is kept for after the swap. */
function accept(row) {
  const seq = seqOf(row);
  const isShown = seq <= page.head;
  if (!isShown && Number(row.dataset.prev) > page.head) {
    if (isUp()) resume();
    return false;
  }
  if (!isRow(row)) {
    takeChange(row, isShown);
    return false;
  }
  const hadFocus = entries.get(row.id)?.row.contains(document.activeElement) ?? false;
  if (entries.has(row.id)) settle(row.id);
  stoppedTyping(row.dataset.author);
  if (isShown) return false;
  page.head = seq;
  if (byId(row.id)) return false;
  link.lastRowMs = Date.now();
  if (!isMine(row)) noteNews(row);
  if (tail > 0 || (!place.following && rows().length >= ROWS_MAX)) {
    tail = seq;
    return false;
  }
  dress(row, arrived.at(-1) ?? lastRow());
  arrived.push(row);
  row.takesFocus = hadFocus;
  return true;
}

function takeChange(change, isShown) {
  if (isShown) {
    settle(change.id);
    return;
  }
  page.head = seqOf(change);
  link.lastRowMs = Date.now();
  changes.push(change);
}

/** Somebody else's row: told to those who listen, counted for those who look elsewhere. */
function noteNews(row) {
  if (isLive()) announce(row);
  if (!place.following) place.fresh += 1;
  if (document.hidden && row.dataset.kind === "message") countUnseen();
}

function applyChanges(fresh) {
  for (const change of fresh) {
    keepingPlace(() => {
      applyChange(change);
      if (entries.has(change.id)) settle(change.id);
    }, byId(change.dataset.target));
  }
}

function onAfterSwap(event) {
  if (event.detail.ctx.sourceElement !== wire) return;
  const fresh = arrived;
  arrived = [];
  if (changes.length > 0) applyChanges(changes.splice(0));
  showEndButton();
  if (fresh.length === 0) return;
  refoldAll(fresh);
  dressPending();
  fresh.find((row) => row.takesFocus)?.focus({ preventScroll: true });
  if (place.following) {
    dropFromTop();
    follow();
  }
  showLastInRooms(fresh.at(-1));
}

function onStatus(status) {
  const { ack, seq, refused: refusedId, code, retryAfterMs, cursor, reset, page: answer } = status.dataset;
  if (ack) acknowledged(ack, Number(seq));
  else if (refusedId) refused(refusedId, code, status.textContent.trim(), retryAfterMs);
  else if (cursor) onCursor(cursor);
  else if (answer !== undefined) answered();
  else if (reset !== undefined) onReset();
}

function onCursor(cursor) {
  const dot = cursor.lastIndexOf(".");
  page.stream = cursor.slice(0, dot);
  page.head = Math.max(page.head, Number(cursor.slice(dot + 1)) || 0);
  caughtUp();
}

/** The log is another one: nothing on this page can be continued. */
function onReset() {
  const AGAIN_MS = 20000;
  const lastMs = Number(keptInTab.get(keyOf("reset")));
  if (Date.now() - lastMs < AGAIN_MS) {
    comeBackIn(AGAIN_MS);
    return;
  }
  keptInTab.set(keyOf("reset"), String(Date.now()));
  keptInTab.drop(keyOf("place"));
  link.phase = "ended";
  letGo();
  connectionLine.textContent = words.historyWasReset;
  setTimeout(() => location.reload(), 1200);
}

/** Tells people who listen, politely and not too often. */
function announce(row) {
  announcer.waiting.push(row);
  announcer.timer ||= setTimeout(() => {
    const [first, ...others] = announcer.waiting.splice(0);
    announcer.timer = 0;
    const one = `${first.querySelector(".who").textContent}: ${first.querySelector(".body, .what").textContent}`;
    byId("announce").textContent = others.length === 0 ? one : counted("new", others.length + 1);
  }, ANNOUNCE_MS);
}

/** The list of rooms shows what was said last in this one. */
function showLastInRooms(row) {
  const entry = document.querySelector('.room-link[aria-current] .room-last');
  if (!entry || !(isMessage(row) || row.dataset.kind === "erased")) return;
  const name = document.createElement("bdi");
  name.textContent = row.querySelector(".who").textContent;
  entry.replaceChildren(name, isMessage(row) ? `: ${bodyOf(row).textContent.slice(0, 120)}` : ` ${words.erased}`);
  const time = entry.parentElement.querySelector("time");
  if (time) {
    time.dateTime = row.querySelector(":scope > time").dateTime;
    time.textContent = formats.time.format(timeOf(row));
  }
}

