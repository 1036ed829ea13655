// Pages of history above and below what the list shows. The list keeps a bounded
// number of rows; what it lets go at its end it can load again.

const ROWS_MAX = 350;
const NEAR_PX = 1000;

/** The sequence of the last event that is known to lie below the last row shown; 0: the end is shown. */
let tail = Number(document.body.dataset.tail);
const olderWords = older.querySelector("a").textContent;
const loading = { older: false, newer: false, failedAt: 0 };

/** The page `before` or `after` a sequence. A token that has ended is renewed once. */
async function fetchPage(side, seq, mayRenew = true) {
  const response = await fetch(`/room/${page.room}/history/?${side}=${seq}`, { signal: AbortSignal.timeout(15000) });
  if (mayRenew && (response.status === 401 || response.redirected)) {
    if (await renew() === "renewed") return fetchPage(side, seq, false);
  }
  if (!response.ok || response.redirected) throw new Error(`history answered ${response.status}`);
  const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
  const marker = parsed.getElementById("older");
  return {
    rows: [...parsed.querySelectorAll("article.row")],
    before: marker.dataset.before,
    more: marker.dataset.more === "true",
  };
}

/** The rows of a page that the list does not show; own ones among them are no longer on their way. */
function unshown(found) {
  found.forEach((row) => { if (entries.has(row.id)) settle(row.id); });
  return found.filter((row) => !byId(row.id));
}

function showBeginning(before, more) {
  older.dataset.before = before;
  older.dataset.more = String(more);
  older.hidden = !more;
  byId("intro").hidden = more;
}

/** Loads the page above. Answers whether there was one. */
async function loadOlder() {
  if (loading.older || older.dataset.more !== "true" || !firstRow()) return false;
  loading.older = true;
  older.classList.add("is-loading");
  try {
    const found = await fetchPage("before", older.dataset.before);
    const fresh = unshown(found.rows);
    keepingPlace(() => {
      showBeginning(found.rows.length > 0 ? found.before : older.dataset.before, found.more);
      older.after(...fresh);
      dressAll(fresh);
      if (!place.following) dropFromEnd();
    });
    older.querySelector("a").textContent = olderWords;
    return fresh.length > 0;
  } catch {
    loading.failedAt = Date.now();
    older.querySelector("a").textContent = `${words.olderFailed} ${words.tryAgain}`;
    return false;
  } finally {
    loading.older = false;
    older.classList.remove("is-loading");
  }
}

/** Loads what lies next below. */
async function loadNewer() {
  if (loading.newer || tail === 0) return;
  loading.newer = true;
  try {
    const found = await fetchPage("after", seqOf(lastRow()));
    if (tail > 0) keepingPlace(() => appendPage(found.rows));
  } catch {
    loading.failedAt = Date.now();
  } finally {
    loading.newer = false;
  }
}

function appendPage(found) {
  const shownTo = lastRow() ? seqOf(lastRow()) : 0;
  const fresh = unshown(found).filter((row) => seqOf(row) > shownTo);
  outbox.before(...fresh);
  dressAll(fresh);
  // The last event may be a change, which no row will show: then nothing more is found.
  if (found.length === 0 || seqOf(found.at(-1)) >= tail) tail = 0;
  dropFromTop();
  dressPending();
}

function dropFromEnd() {
  const surplus = rows().length - ROWS_MAX;
  if (surplus <= 0) return;
  tail = Math.max(tail, seqOf(lastRow()));
  [...rows()].slice(-surplus).forEach((row) => row.remove());
}

function dropFromTop() {
  const SPARE = 50;
  const surplus = rows().length - ROWS_MAX;
  if (surplus <= 0) return;
  [...rows()].slice(0, surplus + SPARE).forEach((row) => row.remove());
  const first = firstRow();
  showBeginning(first.dataset.seq, true);
  dress(first);
  refoldAll([first]);
}

/** Everything up to a sequence is gone: the room keeps things no longer. */
function expire(upto) {
  const old = [...rows()].filter((row) => seqOf(row) <= upto);
  if (old.includes(toolsRow())) hideTools();
  old.forEach((row) => {
    recent.delete(row.id);
    leaveErased(row.id);
    row.remove();
  });
  const first = firstRow();
  if (!first && tail > 0) {
    jumpToEnd();
    return;
  }
  // What was above is gone too, whether it was loaded or not.
  if (old.length > 0 || Number(older.dataset.before) <= upto) showBeginning(first?.dataset.seq ?? 0, false);
  if (first) {
    dress(first);
    refoldAll([first]);
  }
}

/** Shows the end of the room, however far away it is. */
async function jumpToEnd() {
  place.fresh = 0;
  forgetSpot();
  if (tail > 0 && !loading.newer) {
    loading.newer = true;
    try {
      const found = await fetchPage("before", page.head + 1);
      [...rows()].forEach((row) => row.remove());
      showBeginning(found.before, found.more);
      appendPage(found.rows);
    } catch {
      loading.failedAt = Date.now();
    } finally {
      loading.newer = false;
    }
  }
  goToEnd();
  showEndButton();
  loadAround();
}

/** Loads what comes near the list's edges. */
async function loadAround() {
  const RETRY_MS = 3000;
  if (Date.now() - loading.failedAt < RETRY_MS) return;
  const isRead = !place.following || list.scrollHeight < 2 * list.clientHeight;
  if (isRead && list.scrollTop < NEAR_PX && await loadOlder()) loadAround();
  const below = list.scrollHeight - list.scrollTop - list.clientHeight;
  if (tail > 0 && below < NEAR_PX && !loading.newer) {
    await loadNewer();
    showEndButton();
  }
}

