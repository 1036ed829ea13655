// What can be done with a message: one bar for all of them, that stands in the row that is
// pointed at, has the focus, or was asked by its "more" button or by a long press.

const LONG_PRESS_MS = 500;
const tools = byId("tools");
const question = byId("delete-question");
const press = { timer: 0, x: 0, y: 0 };

const toolsRow = () => (tools.hidden ? null : tools.parentElement.closest(".row"));

function showTools(row) {
  if (question.open) return;
  if (!isMessage(row) || row.classList.contains("is-going")) {
    hideTools();
    return;
  }
  if (toolsRow() === row) return;
  // Whoever stands in the bar with the keyboard is not moved away by a mouse that lies about.
  if (tools.matches(":focus-within")) return;
  tools.querySelector('[data-act="edit"]').hidden = !isMine(row);
  tools.querySelector('[data-act="delete"]').hidden = !isMine(row) && !page.mayModerate;
  tools.hidden = false;
  row.append(tools);
  const room = row.getBoundingClientRect().top - list.getBoundingClientRect().top;
  tools.classList.toggle("is-below", room < tools.offsetHeight);
}

function hideTools() {
  if (tools.hidden) return;
  const row = toolsRow();
  if (tools.contains(document.activeElement)) row.focus({ preventScroll: true });
  row.querySelector(":scope > .row-more")?.setAttribute("aria-expanded", "false");
  tools.hidden = true;
  list.after(tools);
}

function newRowMore() {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "row-more";
  button.setAttribute("aria-label", words.more);
  button.setAttribute("aria-expanded", "false");
  return button;
}

function toggleTools(button) {
  const row = button.closest(".row");
  const isOpen = toolsRow() === row;
  hideTools();
  if (isOpen) return;
  showTools(row);
  button.setAttribute("aria-expanded", "true");
}

function onToolsClick(event) {
  const button = event.target.closest("button");
  const row = button?.closest(".row");
  if (!row) return;
  if (button.matches(".row-more")) {
    toggleTools(button);
    return;
  }
  if (button.matches(".pill") && isMessage(row)) toggleReaction(row, button.dataset.reaction);
  if (!tools.contains(button)) return;
  const { act, reaction } = button.dataset;
  if (isTouch.matches) hideTools();
  if (reaction) toggleReaction(row, reaction);
  else if (act === "edit") edit(row);
  else if (act === "link") copyLink(row);
  else if (act === "delete") askDelete(row);
}

/** Asks first. The focus comes back to the message, wherever the answer came from. */
function askDelete(row) {
  const from = document.activeElement;
  question.querySelector(".quote").textContent = bodyOf(row).textContent.slice(0, 200);
  question.returnValue = "";
  question.onclose = () => {
    question.querySelector(".quote").textContent = "";
    if (question.returnValue === "delete" && isMessage(row)) {
      hideTools();
      if (editing.id === row.id) leaveEditing();
      enqueue({ kind: "delete", ...aimedAt(row) });
    }
    const target = from?.isConnected && from !== document.body && from.checkVisibility() ? from : row;
    target.focus({ preventScroll: true });
  };
  question.showModal();
  question.querySelector(".quiet").focus();
}

/** Keys of the list that belong to the bar. Answers whether it was one. */
function onToolsKey(event) {
  const active = document.activeElement;
  if (event.key === "Enter" && isMessage(active) && isRow(active)) {
    event.preventDefault();
    showTools(active);
    tools.querySelector("button:not([hidden])").focus();
    return true;
  }
  if (!tools.contains(active)) return false;
  if (event.key === "Escape") {
    toolsRow().focus({ preventScroll: true });
    return true;
  }
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return false;
  event.preventDefault();
  const all = [...tools.querySelectorAll("button:not([hidden])")];
  const sign = getComputedStyle(tools).direction === "rtl" ? -step : step;
  all[(all.indexOf(active) + sign + all.length) % all.length].focus();
  return true;
}

function onPressStart(event) {
  clearTimeout(press.timer);
  const row = event.target.closest(".row");
  if (toolsRow() && !tools.contains(event.target) && !event.target.closest(".row-more")) hideTools();
  if (event.pointerType === "mouse" || !isMessage(row) || event.target.closest("a, button")) return;
  Object.assign(press, { x: event.clientX, y: event.clientY });
  press.timer = setTimeout(() => showTools(row), LONG_PRESS_MS);
}

function onPressMove(event) {
  const STILL_PX = 10;
  if (Math.hypot(event.clientX - press.x, event.clientY - press.y) > STILL_PX) clearTimeout(press.timer);
}

function startTools() {
  list.addEventListener("pointerover", (event) => {
    if (event.pointerType === "mouse" && !isTouch.matches) showTools(event.target.closest(".row"));
  });
  list.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && !question.open && !tools.matches(":focus-within")) hideTools();
  });
  list.addEventListener("focusin", (event) => {
    if (!isTouch.matches && !tools.contains(event.target)) showTools(event.target.closest(".row"));
  });
  list.addEventListener("click", onToolsClick);
  // A press on the bar must not take the focus from the field.
  tools.addEventListener("pointerdown", (event) => event.preventDefault());
  document.addEventListener("pointerdown", onPressStart);
  document.addEventListener("pointermove", onPressMove, { passive: true });
  for (const name of ["pointerup", "pointercancel", "scroll"]) {
    document.addEventListener(name, () => clearTimeout(press.timer), { passive: true, capture: true });
  }
}
