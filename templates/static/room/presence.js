// Who is here, who writes just now, and how much was not seen yet.

const TYPING_MS = 5000;
const TELL_TYPING_MS = 2000;
const presence = byId("presence");
/** The names of people who are here by their ids, as far as the server names them, and how many there are. */
const here = { count: 0, names: new Map() };
/** By id: the name, and until when the person is said to be writing. */
const writers = new Map();
const typingLine = byId("typing");
const title = document.title;
let toldTypingMs = 0;
let unseen = 0;

function onPresence(said) {
  here.count = Number(said.dataset.count);
  if (said.dataset.whole !== undefined) here.names.clear();
  for (const person of said.children) {
    const { came, went } = person.dataset;
    if (came) here.names.set(came, person.textContent);
    else here.names.delete(went);
    if (went) stoppedTyping(went);
  }
  showPresence();
}

function showPresence() {
  presence.hidden = here.count === 0;
  presence.querySelector(".count").textContent = here.count.toLocaleString(language);
  const label = counted("here", here.count);
  const button = presence.querySelector("button");
  button.title = label;
  button.setAttribute("aria-label", label);
  byId("people-title").textContent = label;
  if (byId("people").matches(":popover-open")) showPeople();
}

/** The list is written when it is looked at. */
function showPeople() {
  const collator = new Intl.Collator(language);
  const names = [...here.names.values()].sort(collator.compare);
  const items = names.map((name) => {
    const item = document.createElement("li");
    const who = document.createElement("bdi");
    who.textContent = name;
    item.append(who);
    return item;
  });
  const more = here.count - names.length;
  if (more > 0) {
    const item = document.createElement("li");
    item.className = "and-more";
    item.textContent = filled(words.andMore, more);
    items.push(item);
  }
  byId("people-list").replaceChildren(...items);
}

function onTyping(said) {
  const { user } = said.dataset;
  if (user === page.viewer) return;
  writers.set(user, { name: said.textContent.trim(), untilMs: Date.now() + TYPING_MS });
  showTyping();
}

function stoppedTyping(user) {
  if (writers.delete(user)) showTyping();
}

function watchTyping(now) {
  for (const [user, { untilMs }] of writers) {
    if (now >= untilMs) stoppedTyping(user);
  }
}

function showTyping() {
  const names = [...writers.values()].map(({ name }) => name);
  const text = names.length === 0 ? "" : names.length > 2 ? words.typingMany : words[names.length === 1 ? "typingOne" : "typingTwo"];
  const parts = text.split(/(\{[ab]\})/).map((part) => {
    if (part !== "{a}" && part !== "{b}") return part;
    const name = document.createElement("bdi");
    name.textContent = names[part === "{a}" ? 0 : 1];
    return name;
  });
  typingLine.replaceChildren(...parts);
}

/** Tells the others, not too often. */
function tellTyping() {
  if (!isLive() || Date.now() - toldTypingMs < TELL_TYPING_MS) return;
  if (say({ type: "typing" })) toldTypingMs = Date.now();
}

/** The title counts what came while nobody looked. */
function countUnseen() {
  unseen += 1;
  document.title = `(${unseen.toLocaleString(language)}) ${title}`;
}

function sawAll() {
  unseen = 0;
  document.title = title;
}

function startPresence() {
  byId("people").addEventListener("beforetoggle", (event) => { if (event.newState === "open") showPeople(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) sawAll(); });
}
