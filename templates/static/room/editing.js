// A message of one's own is changed in the field that messages are written in.

const editing = {
  /** The message that is changed; empty when none is. */
  id: "",
  seq: 0,
  /** The text as it was. */
  before: "",
  /** What stood in the field. */
  draft: "",
};
const editingLine = byId("editing");

/** Puts a message's text, or `text` in its stead, into the field. */
function edit(row, text = null) {
  if (editing.id) leaveEditing();
  Object.assign(editing, { id: row.id, seq: seqOf(row), before: bodyOf(row).textContent, draft: field.value });
  field.value = text ?? editing.before;
  editingLine.hidden = false;
  row.classList.add("is-edited-now");
  onInput();
  field.focus({ preventScroll: true });
  field.setSelectionRange(field.value.length, field.value.length);
}

/** Back to what was being written before; or, with `keepsText`, what was typed becomes that. */
function leaveEditing(keepsText = false) {
  byId(editing.id)?.classList.remove("is-edited-now");
  editing.id = "";
  editingLine.hidden = true;
  if (!keepsText) field.value = editing.draft;
  onInput();
}

function submitEdit(text) {
  const { id, seq, before } = editing;
  leaveEditing();
  if (text !== before) enqueue({ kind: "edit", target: id, targetSeq: seq, text });
  field.focus({ preventScroll: true });
}

/** The last message that this person wrote, of those in the list. */
const myLastMessage = () => [...rows()].findLast((row) => isMessage(row) && isMine(row) && !row.classList.contains("is-going"));

/** Up in an empty field changes one's last message, Escape leaves it as it was. */
function onEditingKey(event) {
  if (event.key === "Escape" && editing.id) {
    event.preventDefault();
    leaveEditing();
    return true;
  }
  const isBare = !(event.shiftKey || event.ctrlKey || event.altKey || event.metaKey);
  if (event.key !== "ArrowUp" || !isBare || field.value !== "" || editing.id) return false;
  const row = myLastMessage();
  if (!row) return false;
  event.preventDefault();
  edit(row);
  row.scrollIntoView({ block: "nearest" });
  return true;
}

function startEditing() {
  editingLine.querySelector("button").addEventListener("click", () => {
    leaveEditing();
    field.focus();
  });
}
