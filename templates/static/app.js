// What every page does beyond its HTML: local times, copy buttons, passwords shown.

const language = document.documentElement.lang || "en";
const day = (date) => date.toLocaleDateString("en-CA");

/** A short local time: the hour today, the day before that. */
function showShortTime(element) {
  const date = new Date(element.dateTime);
  if (Number.isNaN(date.getTime())) return;
  const now = new Date();
  const options = day(date) === day(now)
    ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }
    : { day: "numeric", month: "short", ...(date.getFullYear() === now.getFullYear() ? {} : { year: "numeric" }) };
  element.textContent = date.toLocaleString(language, options);
  element.title = date.toLocaleString(language, { dateStyle: "full", timeStyle: "short" });
}

function reveal(button) {
  const input = document.getElementById(button.dataset.reveal);
  const shown = input.type === "password";
  input.type = shown ? "text" : "password";
  button.setAttribute("aria-pressed", String(shown));
  button.setAttribute("aria-label", shown ? button.dataset.hide : button.dataset.show);
}

async function copy(button) {
  const input = document.getElementById(button.dataset.copy);
  const word = button.textContent;
  try {
    await navigator.clipboard.writeText(input.value);
  } catch {
    // Without https there is no clipboard; what is selected can still be copied.
    input.select();
    if (!document.execCommand("copy")) return;
  }
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = word; }, 1600);
}

/** Days that somebody looks for begin where they are. */
function addZone(event) {
  if (/\b(before|after):/i.test(event.formData.get("q"))) event.formData.set("zone", String(-new Date().getTimezoneOffset()));
}

globalThis.backchat = { showShortTime };
document.querySelectorAll("time[data-short]").forEach(showShortTime);
document.querySelectorAll("input[data-absolute]").forEach((input) => {
  input.value = new URL(input.value, location.href).href;
});
document.querySelectorAll("button[data-reveal]").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", () => reveal(button));
});
document.querySelectorAll("button[data-copy]").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
});
// What is typed comes behind what is there already.
document.querySelectorAll("input[type=search][autofocus]").forEach((input) => {
  input.setSelectionRange(input.value.length, input.value.length);
});
document.querySelectorAll("form[role=search]").forEach((form) => form.addEventListener("formdata", addZone));
document.querySelectorAll("input[readonly]").forEach((input) => {
  input.addEventListener("focus", () => input.select());
});
