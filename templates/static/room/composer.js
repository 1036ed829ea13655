// The field that messages are written in.

const form = byId("composer");
const field = byId("text");
const count = byId("count");
const sendButton = form.querySelector(".send");

/** Nothing in the text can be seen. */
const isBlank = (text) => /^[\s\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]*$/u.test(text);

/** Characters as the limit counts them. */
const lengthOf = (text) => (text.length > page.charsMax * 0.8 ? [...text].length : text.length);

function onInput() {
  const text = field.value;
  sendButton.disabled = isBlank(text);
  showCount(text);
  grow();
  if (editing.id) return;
  kept[text ? "set" : "drop"](keyOf("draft"), text);
  if (!sendButton.disabled) tellTyping();
}

function showCount(text) {
  const left = page.charsMax - lengthOf(text);
  const isOver = left < 0;
  count.textContent = left > page.charsMax / 10 ? "" : isOver ? words.tooLong : counted("left", left);
  count.classList.toggle("is-over", isOver);
  field.setAttribute("aria-invalid", String(isOver));
}

/** Browsers without `field-sizing` get their height here. */
function grow() {
  if (CSS.supports("field-sizing", "content")) return;
  field.style.blockSize = "auto";
  field.style.blockSize = `${field.scrollHeight}px`;
}

function submit() {
  const text = field.value.replaceAll("\r\n", "\n");
  if (isBlank(text) || lengthOf(text) > page.charsMax) {
    field.focus();
    return;
  }
  if (editing.id) {
    submitEdit(text);
    return;
  }
  field.value = "";
  onInput();
  place.following = true;
  enqueue({ kind: "send", text });
  if (tail > 0) jumpToEnd();
  else goToEnd();
  showEndButton();
  field.focus();
}

function onFieldKey(event) {
  // While an input method composes, its keys belong to it. Safari tells of the Enter
  // that ends a composition after its end, by the key code alone.
  if (event.isComposing || event.keyCode === 229 || onEditingKey(event) || event.key !== "Enter") return;
  const sends = event.ctrlKey || event.metaKey || (!event.shiftKey && !event.altKey && !isTouch.matches);
  if (!sends) return;
  event.preventDefault();
  if (!event.repeat) submit();
}

function startComposer() {
  if (!field.value) field.value = kept.get(keyOf("draft")) ?? "";
  field.addEventListener("input", onInput);
  field.addEventListener("keydown", onFieldKey);
  // A press on the button must not take the focus, or a phone's keyboard goes away.
  sendButton.addEventListener("pointerdown", (event) => event.preventDefault());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  onInput();
  if (!isTouch.matches) field.focus({ preventScroll: true });
}

