// Everything is set up; the page comes to life.

const WATCH_MS = 500;

function watch() {
  const now = Date.now();
  watchConnection(now);
  watchOutbox(now);
  watchTyping(now);
}

document.documentElement.classList.add("scripted");
dressAll([...rows()]);
scheduleMidnight();
restoreOutbox();
startComposer();
startEditing();
startTools();
startLinks();
startPresence();
startConnection();
const placed = restorePlace();

document.addEventListener("htmx:before:swap", onBeforeSwap);
document.addEventListener("htmx:after:swap", onAfterSwap);
document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", () => { if (!document.hidden && place.following) goToEnd(); });
addEventListener("storage", onStorage);
addEventListener("pagehide", savePlace);
toEndButton.addEventListener("click", () => {
  jumpToEnd();
  field.focus({ preventScroll: true });
});
older.querySelector("a").addEventListener("click", (event) => {
  event.preventDefault();
  loading.failedAt = 0;
  loadOlder();
});
new ResizeObserver(() => { if (place.following) goToEnd(); }).observe(list);

// The list is measured once it stands at its place; a page that fills no screen loads more at once.
placed.then(() => {
  list.addEventListener("scroll", onScroll, { passive: true });
  showEndButton();
  loadAround();
});
connect();
setInterval(watch, WATCH_MS);
