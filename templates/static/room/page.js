// The room's page. The files of this folder are one module for the browser: they
// share these names, and `assets.rs` gives their order.

const byId = (id) => document.getElementById(id);
const list = byId("messages");
const older = byId("older");
const outbox = byId("outbox");
const wire = byId("wire");
const words = byId("words").dataset;
const language = document.documentElement.lang || "en";

/** A finger can point at nothing: what others see when they do has a button. */
const isTouch = matchMedia("(hover: none) and (pointer: coarse)");

const given = document.body.dataset;
const page = {
  room: given.room,
  viewer: given.viewer,
  /** The stream's identity and the sequence up to which this page has the room: its cursor. */
  stream: given.stream,
  head: Number(given.head),
  /** The message that the address means, for a link to one. */
  spot: given.spot,
  charsMax: Number(given.charsMax),
  renewAfterMs: Number(given.renewAfterS) * 1000,
  mayModerate: given.mayModerate !== undefined,
};

const plurals = new Intl.PluralRules(language);

/** The words for a number of things: `name` with `One` or `Other`. */
const counted = (name, n) =>
  filled(words[name + (plurals.select(n) === "one" ? "One" : "Other")], n);

/** A text with what belongs into its place. */
const filled = (text, n) => text.replace("{n}", n.toLocaleString(language));

/** Storage that is full or forbidden loses its convenience, never the page. */
function keeper(store) {
  const attempt = (action) => {
    try { return action(store()); } catch { return null; }
  };
  return {
    get: (key) => attempt((kept) => kept.getItem(key)),
    set: (key, value) => attempt((kept) => kept.setItem(key, value)),
    drop: (key) => attempt((kept) => kept.removeItem(key)),
    keys: (prefix) => attempt((kept) => Object.keys(kept).filter((key) => key.startsWith(prefix))) ?? [],
  };
}

const kept = keeper(() => localStorage);
const keptInTab = keeper(() => sessionStorage);
const keyOf = (what) => `backchat.${what}.${page.viewer}.${page.room}`;

/** A UUID version 7; ids made in one millisecond still rise. */
const newId = (() => {
  let lastMs = 0;
  let count = 0;
  return () => {
    const now = Date.now();
    count = now > lastMs ? crypto.getRandomValues(new Uint16Array(1))[0] & 0x3ff : count + 1;
    lastMs = Math.max(now, lastMs);
    if (count > 0xfff) {
      lastMs += 1;
      count = 0;
    }
    const random = crypto.getRandomValues(new Uint8Array(8));
    random[0] = (random[0] & 0x3f) | 0x80;
    const hex = lastMs.toString(16).padStart(12, "0")
      + "7" + count.toString(16).padStart(3, "0")
      + Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  };
})();

/** A number between the two, so that many pages do not do one thing at one moment. */
const between = (low, high) => low + Math.random() * (high - low);

