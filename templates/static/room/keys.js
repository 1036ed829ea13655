// Everything without a mouse: F6 goes round the zones, arrows go through messages,
// Enter goes to what can be done with one.

function zones() {
  const rooms = byId("rooms");
  const isOpen = getComputedStyle(rooms).display !== "none";
  return [isOpen && rooms, list, field].filter(Boolean);
}

function onKey(event) {
  if (event.key === "F6" && !event.ctrlKey && !event.altKey) {
    event.preventDefault();
    goRound(event.shiftKey ? -1 : 1);
  } else if (list.contains(document.activeElement) && !event.ctrlKey && !event.altKey && !event.metaKey) {
    onListKey(event);
  }
}

function goRound(step) {
  const all = zones();
  const now = all.findIndex((zone) => zone.contains(document.activeElement));
  const next = all[(now + step + all.length) % all.length];
  const target = next === byId("rooms") ? next.querySelector(".room-link[aria-current]") ?? next.querySelector("a") : next;
  target.focus({ preventScroll: next === list });
}

function onListKey(event) {
  if (onToolsKey(event)) return;
  if (event.key === "Escape") {
    field.focus();
    return;
  }
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!step || event.target.matches("input")) return;
  event.preventDefault();
  const all = [...list.querySelectorAll(".row:not(.is-folded)")];
  const now = all.indexOf(document.activeElement.closest(".row"));
  const row = now < 0 ? all.at(step < 0 ? -1 : 0) : all[now + step];
  row?.focus({ preventScroll: true });
  row?.scrollIntoView({ block: "nearest" });
}

