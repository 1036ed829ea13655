// Links to messages: the address of one, and what is shown when a page opens at one.

const POINTED_MS = 2000;

const addressOf = (row) => new URL(`/room/${page.room}/?at=${row.id}`, location.href).href;

/** Brings a message to the middle of the list, and shows for a moment which one is meant. */
function pointAt(row) {
  if (!row) return;
  place.following = false;
  row.scrollIntoView({ block: "center" });
  place.top = list.scrollTop;
  row.focus({ preventScroll: true });
  row.classList.add("is-meant");
  setTimeout(() => row.classList.remove("is-meant"), POINTED_MS);
}

/** The address bar means a message that is on the page. */
function nameSpot(row) {
  history.replaceState(null, "", addressOf(row));
  pointAt(row);
}

/** The address bar means the room again. */
function forgetSpot() {
  if (location.search) history.replaceState(null, "", location.pathname);
}

async function copyLink(row) {
  const address = addressOf(row);
  try {
    await navigator.clipboard.writeText(address);
    byId("announce").textContent = words.linkCopied;
    const button = tools.querySelector('[data-act="link"]');
    button.classList.add("is-done");
    setTimeout(() => button.classList.remove("is-done"), POINTED_MS);
  } catch {
    // Without https there is no clipboard; the address bar can still be copied.
    nameSpot(row);
  }
}

/** A day begins where its reader is. */
function onDay(event) {
  const [year, month, day] = event.formData.get("at").split("-").map(Number);
  event.formData.set("at", new Date(year, month - 1, day).toISOString());
}

function startLinks() {
  list.addEventListener("click", (event) => {
    const row = event.target.closest("time a")?.closest(".row");
    if (!row || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    nameSpot(row);
  });
  byId("day-form").addEventListener("formdata", onDay);
}
