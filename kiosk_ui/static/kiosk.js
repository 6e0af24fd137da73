// The customer's screen. Shows the view that the server sends, and says which option was pressed, on which view.
import { render } from "/static/vendor/lit.js";
import { openLink } from "/static/link.js";
import { createMirror } from "/static/mirror.js";
import { keypadId, screen } from "/static/screen.js";

const PRESS_ANSWERED_WITHIN_MS = 2000;
const TIGHTEST = 3;
const root = document.getElementById("kiosk");
const announcer = document.getElementById("announcer");
const notice = document.getElementById("no-link");

let view = null; // the view that is shown
let began = 0; // performance.now() when it began, as the server counts
let pressed = null; // the id that was pressed on it and not answered yet
let answerTimer = 0;
let linked = false;

const mirror = createMirror(`ws://${location.host}/mirror`);
const link = openLink(`ws://${location.host}/view`, { onMessage: receive, onLink: setLinked });

function receive(message) {
  if (!message.view) return;
  const announced = view === null || ["screen", "title", "lang"].some((name) => view[name] !== message.view[name]) || guided(message.view);
  view = message.view;
  began = performance.now() - (message.age_s || 0) * 1000;
  release();
  draw();
  setLinked(linked);
  if (announced) announce();
}

// Before the camera what to do better is said as it changes; elsewhere a hint alone says nothing new.
function guided(next) {
  return next.mirror !== null && view.hint !== next.hint;
}

function draw() {
  mirror.show(view.mirror);
  const page = document.documentElement;
  page.lang = view.lang === "zh" ? "zh-CN" : "en";
  page.dataset.mode = view.mode;
  page.dataset.screen = view.screen;
  page.dataset.tone = view.tone;
  document.title = view.title;
  render(screen(view, { press, pressed, mirror: mirror.node, age_s: (performance.now() - began) / 1000 }), root);
  fit();
}

// Long texts on a small panel: the least tightening at which nothing sticks out of the stage (see kiosk.css).
function fit() {
  for (let level = 0; level <= TIGHTEST; level++) {
    document.documentElement.dataset.tight = String(level);
    if (fits(root.querySelector(".stage"))) return;
  }
}

function fits(stage) {
  const room = stage.getBoundingClientRect();
  const parts = [...stage.children].filter((part) => part.getClientRects().length > 0);
  return parts.every((part) => {
    const box = part.getBoundingClientRect();
    return box.top >= room.top - 1 && box.bottom <= room.bottom + 1 && part.scrollWidth <= part.clientWidth + 1;
  });
}

// What a screen reader says: the title, the hint and the facts, once for each screen.
function announce() {
  const facts = view.lines.map((line) => (line.label ? `${line.label}: ${line.text}` : line.text));
  announcer.lang = document.documentElement.lang;
  announcer.textContent = [view.title, view.hint, ...facts].filter(Boolean).join(" ");
}

function setLinked(now) {
  linked = now;
  const usable = linked && view !== null;
  root.inert = !usable;
  notice.hidden = usable;
  if (!linked) release();
}

function press(id) {
  if (!linked || pressed !== null || view === null) return;
  pressed = id;
  link.send({ press: { seq: view.seq, id } });
  clearTimeout(answerTimer);
  answerTimer = setTimeout(() => {
    release();
    draw();
  }, PRESS_ANSWERED_WITHIN_MS);
  draw();
}

function release() {
  clearTimeout(answerTimer);
  pressed = null;
}

function sameKey(a, b) {
  return a === b || (a.length === 1 && b.length === 1 && a.toLowerCase() === b.toLowerCase());
}

// A tactile keypad is a keyboard: every option has a key. Enter and the space bar belong to the button that has the focus, if one has.
document.addEventListener("keydown", (event) => {
  if (view === null || event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  const onButton = document.activeElement instanceof HTMLButtonElement && document.activeElement.matches(":focus-visible");
  if (onButton && (event.key === "Enter" || event.key === " ")) return;
  const typed = keypadId(view, event.key);
  const option = typed === undefined ? view.options.find((one) => sameKey(one.key, event.key)) : undefined;
  const id = typed ?? option?.id;
  if (id === undefined) return;
  event.preventDefault();
  press(id);
});

// After a touch no button keeps the focus, or the next Enter would press it again.
root.addEventListener("click", (event) => {
  if (event.detail > 0 && document.activeElement instanceof HTMLButtonElement) document.activeElement.blur();
});
addEventListener("resize", () => view !== null && fit());
document.addEventListener("contextmenu", (event) => event.preventDefault());
