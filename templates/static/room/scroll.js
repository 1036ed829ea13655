// The place in the list: it follows at the end, and elsewhere never moves.

const END_PX = 10;
const place = {
  /** Whether new rows are followed. */
  following: true,
  /** The last scroll position that was seen or set. */
  top: 0,
  /** New rows below that were not seen yet. */
  fresh: 0,
  frame: 0,
  date: 0,
};
const toEndButton = byId("to-end");
const dateChip = byId("date");

const isAtEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight <= END_PX;

function goToEnd() {
  list.scrollTop = list.scrollHeight;
  place.top = list.scrollTop;
  place.following = true;
}

/** Scrolls to the end before the next frame is painted, once for any number of rows. */
function follow() {
  if (place.frame) return;
  place.frame = requestAnimationFrame(() => {
    place.frame = 0;
    if (place.following) goToEnd();
  });
}

/** The first row that can be seen, and how far its top is below the list's. */
function anchor() {
  const top = list.getBoundingClientRect().top;
  const all = rows();
  let low = 0;
  let high = all.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (all[middle].getBoundingClientRect().bottom > top) high = middle;
    else low = middle + 1;
  }
  return all[low] && at(all[low]);
}

const at = (row) => ({ row, offset: row.getBoundingClientRect().top - list.getBoundingClientRect().top });

/**
 * Changes the list and keeps what is seen where it is. Where `touched`, the row that changes, is cut
 * by the top edge, the row below it keeps its place.
 */
function keepingPlace(change, touched = null) {
  if (place.following) {
    change();
    goToEnd();
    return;
  }
  let before = anchor();
  if (before?.row === touched && before.offset < 0 && isRow(touched.nextElementSibling)) before = at(touched.nextElementSibling);
  change();
  if (before?.row.isConnected) putAt(before.row, before.offset);
}

function putAt(row, offset) {
  list.scrollTop += row.getBoundingClientRect().top - list.getBoundingClientRect().top - offset;
  place.top = list.scrollTop;
}

function onScroll() {
  const top = list.scrollTop;
  if (isAtEnd() && tail === 0) place.following = true;
  // Rows that grow the list do not end the following; only a person who scrolls up does.
  else if (top < place.top - 1) place.following = false;
  place.top = top;
  if (place.following) sawTheEnd();
  showEndButton();
  showDate();
  loadAround();
  rememberPlace();
}

function sawTheEnd() {
  place.fresh = 0;
}

function showEndButton() {
  const away = !place.following && (tail > 0 || !isAtEnd());
  toEndButton.hidden = !(away && (place.fresh > 0 || list.scrollHeight - list.scrollTop > 3 * list.clientHeight));
  toEndButton.firstElementChild.textContent = place.fresh > 0 ? counted("new", place.fresh) : words.toTheEnd;
}

/** The day of what is read, while it is scrolled through. */
function showDate() {
  const first = place.following ? null : anchor();
  clearTimeout(place.date);
  const isClear = !first || (first.row.classList.contains("new-day") && first.offset > -24);
  dateChip.hidden = isClear;
  if (isClear) return;
  dateChip.textContent = nameOfDay(timeOf(first.row));
  place.date = setTimeout(() => { dateChip.hidden = true; }, 1500);
}

/** Keeps the place over a reload and over the back button. */
function rememberPlace() {
  if (place.saving) return;
  place.saving = setTimeout(savePlace, 250);
}

function savePlace() {
  clearTimeout(place.saving);
  place.saving = 0;
  const first = place.following ? null : anchor();
  if (!first) keptInTab.drop(keyOf("place"));
  else keptInTab.set(keyOf("place"), JSON.stringify({ id: first.row.id, seq: seqOf(first.row), offset: first.offset }));
}

/** Goes back to the remembered message; loads older pages, up to a bound, until it is there. */
async function restorePlace() {
  const PAGES_MAX = 20;
  const cameBack = ["reload", "back_forward"].includes(performance.getEntriesByType("navigation")[0]?.type);
  const saved = cameBack && keptInTab.get(keyOf("place"));
  goToEnd();
  place.following = tail === 0;
  if (!saved) {
    if (page.spot) pointAt(byId(page.spot));
    return;
  }
  const { id, seq, offset } = JSON.parse(saved);
  place.following = false;
  for (let pages = 0; pages < PAGES_MAX; pages += 1) {
    if (byId(id) || !firstRow() || seqOf(firstRow()) <= seq || !(await loadOlder())) break;
  }
  const row = byId(id);
  if (row) putAt(row, offset);
  else goToEnd();
  onScroll();
}

