// Reactions: what the server told, with what this person has on its way laid over it.

/** As the server has it: more are neither counted nor shown. */
const REACTIONS_MAX = 20;
const PEOPLE_NAMED_MAX = 100;

/** The reactions of a row: for each its count, and the names of people by their ids. */
function reactionsOf(row) {
  row.reactions ??= new Map([...row.querySelectorAll(":scope > .reactions .pill")].map((pill) => {
    const { reaction, count, by } = pill.dataset;
    const names = pill.title.split("\n");
    const people = by.split(" ").filter(Boolean).map((id, index) => [id, names[index]]);
    return [reaction, { count: Number(count), by: new Map(people) }];
  }));
  return row.reactions;
}

/** Gives or takes back a reaction, by the same rule as the server. Doing it twice changes nothing. */
function react(reactions, { reaction, on, id, name }) {
  const given = reactions.get(reaction) ?? { count: 0, by: new Map() };
  if (on) {
    if (given.by.has(id) || (given.count === 0 && reactions.size >= REACTIONS_MAX)) return;
    given.count += 1;
    if (given.by.size < PEOPLE_NAMED_MAX) given.by.set(id, name);
    reactions.set(reaction, given);
  } else if (given.count > 0 && (given.count > given.by.size || given.by.has(id))) {
    given.by.delete(id);
    given.count -= 1;
    if (given.count === 0) reactions.delete(reaction);
  }
}

/** The reactions as this person left them, whether the server has heard of it or not. */
function effectiveReactions(row) {
  const copy = new Map([...reactionsOf(row)].map(([key, { count, by }]) => [key, { count, by: new Map(by) }]));
  for (const { reaction, on } of changesFor(row.id, "react")) {
    react(copy, { reaction, on, id: page.viewer, name: viewerName });
  }
  return copy;
}

function showReactions(row) {
  const reactions = effectiveReactions(row);
  let holder = row.querySelector(":scope > .reactions");
  if (!holder && reactions.size === 0) return;
  if (!holder) {
    holder = document.createElement("ul");
    holder.className = "reactions";
    row.querySelector(":scope > .body").after(holder);
  }
  const pills = new Map([...holder.querySelectorAll(".pill")].map((pill) => [pill.dataset.reaction, pill]));
  for (const [reaction, pill] of pills) {
    if (!reactions.has(reaction)) removePill(row, pill);
  }
  for (const [reaction, given] of reactions) {
    const pill = pills.get(reaction) ?? newPill(holder, reaction);
    showPill(pill, given);
  }
  if (reactions.size === 0) holder.remove();
}

/** Whoever stood on a pill with the keyboard stands on its message afterwards. */
function removePill(row, pill) {
  if (pill === document.activeElement) row.focus({ preventScroll: true });
  pill.parentElement.remove();
}

function newPill(holder, reaction) {
  const item = document.createElement("li");
  const pill = document.createElement("button");
  pill.type = "button";
  pill.className = "pill";
  pill.dataset.reaction = reaction;
  pill.append(`${reaction} `, document.createElement("span"));
  item.append(pill);
  holder.append(item);
  return pill;
}

function showPill(pill, { count, by }) {
  const more = count - by.size;
  const names = [...by.values(), ...(more > 0 ? [filled(words.andMore, more)] : [])];
  pill.title = names.join("\n");
  pill.dataset.count = count;
  pill.dataset.by = [...by.keys()].join(" ");
  pill.querySelector("span").textContent = count.toLocaleString(language);
  pill.setAttribute("aria-pressed", String(by.has(page.viewer)));
}

/** Gives a reaction, or takes back one's own. */
function toggleReaction(row, reaction) {
  const wasGiven = effectiveReactions(row).get(reaction)?.by.has(page.viewer) ?? false;
  const waiting = changesFor(row.id, "react").find((entry) => entry.reaction === reaction && entry.state === "queued");
  if (waiting) settle(waiting.id);
  else enqueue({ kind: "react", ...aimedAt(row), reaction, on: !wasGiven });
}
