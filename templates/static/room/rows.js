// Rows: local times, days, runs, folded notes. The same rule for runs is in `rows.rs`.

const RUN_GAP_MS_MAX = 5 * 60 * 1000;
const formats = {
  time: new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
  full: new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "short" }),
  day: new Intl.DateTimeFormat(language, { weekday: "long", day: "numeric", month: "long" }),
  dayOfYear: new Intl.DateTimeFormat(language, { weekday: "long", day: "numeric", month: "long", year: "numeric" }),
};

const rows = () => list.querySelectorAll(":scope > .row");
const isRow = (element) => element?.classList.contains("row") ?? false;
const seqOf = (row) => Number(row.dataset.seq);
const lastRow = () => (isRow(outbox.previousElementSibling) ? outbox.previousElementSibling : null);
const firstRow = () => (isRow(older.nextElementSibling) ? older.nextElementSibling : null);

/** The row above in the list, over the seam between stored and pending ones. */
function above(row) {
  const element = row.previousElementSibling;
  if (isRow(element)) return element;
  return row.parentElement === outbox ? lastRow() : null;
}

/** When the row's event happened, in ms; for one that is not stored yet, when it was written. */
function timeOf(row) {
  row.atMs ??= Date.parse(row.querySelector(":scope > time")?.dateTime) || Date.now();
  return row.atMs;
}

const dayOf = (ms) => new Date(ms).toDateString();

function nameOfDay(ms) {
  const day = dayOf(ms);
  const now = new Date();
  if (day === now.toDateString()) return words.today;
  if (day === dayOf(new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1))) return words.yesterday;
  const thisYear = new Date(ms).getFullYear() === now.getFullYear();
  return (thisYear ? formats.day : formats.dayOfYear).format(ms);
}

function continuesRun(before, row) {
  const gapMs = timeOf(row) - timeOf(before);
  return before.dataset.kind === "message" && row.dataset.kind === "message"
    && before.dataset.author === row.dataset.author
    && gapMs >= 0 && gapMs <= RUN_GAP_MS_MAX;
}

/** Gives a row what depends on the reader's place and on the row above it. */
function dress(row, before = above(row)) {
  const newDay = !before || dayOf(timeOf(before)) !== dayOf(timeOf(row));
  row.classList.toggle("run", !newDay && continuesRun(before, row));
  row.classList.toggle("new-day", newDay);
  showDay(row, newDay);
  if (row.isDressed) return;
  row.isDressed = true;
  const time = row.querySelector(":scope > time");
  if (time) {
    (time.querySelector("a") ?? time).textContent = formats.time.format(timeOf(row));
    time.title = formats.full.format(timeOf(row));
  }
  if (!isMessage(row)) return;
  dressBody(row);
  if (isTouch.matches) row.append(newRowMore());
  catchUp(row);
  if (isMessage(row) && (row.querySelector(":scope > .reactions") || hasEntries(row.id))) paint(row);
}

const hasEntries = (id) => [...entries.values()].some((entry) => entry.target === id);

/** A long text gets its "show more", an edited one says when. */
function dressBody(row) {
  const body = row.querySelector(":scope > .body");
  row.querySelector(":scope > .more")?.remove();
  if (body.classList.contains("long")) body.after(moreButton(body));
  const { edited, editedAt } = body.dataset;
  if (editedAt) body.title = `${edited}, ${formats.full.format(new Date(editedAt))}`;
}

function showDay(row, newDay) {
  const label = row.querySelector(":scope > .day");
  if (!newDay) {
    label?.remove();
    return;
  }
  const name = nameOfDay(timeOf(row));
  if (label?.textContent === name) return;
  label?.remove();
  const fresh = document.createElement("p");
  fresh.className = "day";
  fresh.textContent = name;
  row.prepend(fresh);
}

function moreButton(body) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "more link";
  button.textContent = words.showMore;
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => {
    const open = body.classList.toggle("is-open");
    button.textContent = open ? words.showLess : words.showMore;
    button.setAttribute("aria-expanded", String(open));
  });
  return button;
}

const folds = (before, row) =>
  isRow(before) && isRow(row) && before.dataset.kind === row.dataset.kind
  && (row.dataset.kind === "joined" || row.dataset.kind === "left")
  && !row.classList.contains("new-day");

/** Folds the notes around `row`: "5 people joined" in the place of five lines. */
function refold(row) {
  let first = row;
  while (folds(first.previousElementSibling, first)) first = first.previousElementSibling;
  const group = [first];
  while (folds(group.at(-1), group.at(-1).nextElementSibling)) group.push(group.at(-1).nextElementSibling);
  const names = new Map(group.map((note) => [note.dataset.author, note.querySelector(".who").textContent]));
  const isFolded = names.size > 1;
  first.querySelector(":scope > .sum")?.remove();
  group.forEach((note) => {
    note.classList.toggle("is-folded", isFolded && note !== first);
    note.classList.remove("is-sum");
    if (note !== first) note.querySelector(":scope > .sum")?.remove();
  });
  if (!isFolded) return;
  const sum = document.createElement("p");
  sum.className = "what sum";
  sum.textContent = words[first.dataset.kind].replace("{n}", names.size.toLocaleString(language));
  sum.title = [...names.values()].join(", ");
  first.classList.add("is-sum");
  first.querySelector(":scope > .what").after(sum);
}

/** Dresses rows that follow each other in the list, and the one below them. */
function dressAll(fresh) {
  for (const row of fresh) dress(row);
  const below = fresh.at(-1)?.nextElementSibling;
  if (isRow(below)) dress(below);
  refoldAll(isRow(below) ? [...fresh, below] : fresh);
}

function refoldAll(fresh) {
  let lastOfGroup = null;
  for (const row of fresh) {
    if (row.dataset.kind !== "joined" && row.dataset.kind !== "left") continue;
    if (lastOfGroup && folds(lastOfGroup, row)) {
      lastOfGroup = row;
      continue;
    }
    lastOfGroup = row;
    refold(row);
  }
}

/** "Today" is another day after midnight. */
function renameDays() {
  for (const row of list.querySelectorAll(".row.new-day")) showDay(row, true);
  scheduleMidnight();
}

function scheduleMidnight() {
  const now = new Date();
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1, 0, 0, 1);
  clearTimeout(scheduleMidnight.timer);
  scheduleMidnight.timer = setTimeout(renameDays, midnight - now);
}

