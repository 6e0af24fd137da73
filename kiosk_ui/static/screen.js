// One layout for every view. All words come from the view; the drawings come from the page's templates.
import { html, keyed, nothing, repeat } from "/static/vendor/lit.js";

const DIGITS = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
const LONG_LABEL = 9; // in half-width characters
const FEW_CHOICES = 3; // so many stand under the text; more have a column of their own

const drawn = new Map();

function drawing(id) {
  return document.getElementById(id)?.content.firstElementChild.cloneNode(true) ?? nothing;
}

const icon = (name) => drawing(`icons-${name}`);

// The same node again while the same picture is shown, so that its movement does not start anew at every key.
function picture(name) {
  if (!drawn.has(name)) drawn.set(name, drawing(`pictures-${name}`));
  return drawn.get(name);
}

// How wide a label is, in ems: a Chinese character is as wide as two Latin ones.
function width(label) {
  return [...label].reduce((sum, character) => sum + (character.charCodeAt(0) > 0x2e7f ? 2 : 1), 0);
}

function button(view, option, { press, pressed }, { kind, before = nothing, lang = nothing }) {
  const cap = option.key.length === 1 ? html`<kbd class="cap" aria-hidden="true">${option.key.toUpperCase()}</kbd>` : nothing;
  return html`<button
    type="button"
    class="option ${kind} ${pressed === option.id ? "pressed" : ""}"
    data-id=${option.id}
    lang=${lang}
    aria-keyshortcuts=${option.key}
    ?disabled=${pressed !== null}
    @click=${() => press(option.id)}
  >${cap !== nothing && (kind === "choice" || kind === "primary") ? cap : before}<span class="label">${option.label}</span></button>`;
}

function keypadKey(id, face, label, { press, pressed }) {
  return html`<button
    type="button"
    class="digit ${pressed === id ? "pressed" : ""}"
    data-id=${id}
    aria-label=${label ?? nothing}
    ?disabled=${pressed !== null}
    @click=${() => press(id)}
  >${face}</button>`;
}

// The two keys that are not digits have their words (and their ids) from options; without, they say "C" and "⌫".
function keypad(view, hand) {
  const edge = (name, sign) => {
    const option = keypadOption(view, name);
    return keypadKey(option?.id ?? `key:${name}`, option ? icon(name) : sign, option?.label, hand);
  };
  return html`<div class="keypad" role="group" aria-labelledby="title">
    ${DIGITS.map((digit) => keypadKey(`key:${digit}`, digit, undefined, hand))}
    ${edge("clear", "C")}${keypadKey("key:0", "0", undefined, hand)}${edge("backspace", "⌫")}
  </div>`;
}

function keypadOption(view, name) {
  return view.options.find((option) => option.id === `key:${name}` || option.id === name);
}

// What the keypad shows is not shown a second time.
function onKeypad(view, option) {
  return view.keypad && (option.id.startsWith("key:") || option.id === "clear" || option.id === "backspace");
}

// A typed key that belongs to the keypad: the id that it presses.
export function keypadId(view, key) {
  if (!view.keypad) return undefined;
  if (/^[0-9]$/.test(key)) return `key:${key}`;
  const name = { Backspace: "backspace", Delete: "clear" }[key];
  return name && (keypadOption(view, name)?.id ?? `key:${name}`);
}

function mask(view) {
  if (view.mask === null) return nothing;
  const places = Math.max(view.mask_maximum, view.mask);
  const dots = Array.from({ length: places }, (_, place) => html`<i class=${place < view.mask ? "dot full" : "dot"}></i>`);
  return html`<div class="mask" role="img" aria-label="${view.mask} / ${places}">${dots}</div>`;
}

function lines(view) {
  const amounts = view.lines.filter((line) => line.role === "amount");
  const facts = view.lines.filter((line) => line.role !== "amount");
  return html`
    ${amounts.map((line) => html`<p class="amount">${line.label ? html`<span class="amount-label">${line.label}</span>` : nothing}<strong>${line.text}</strong></p>`)}
    ${facts.length === 0 ? nothing : html`<dl class="facts">${facts.map(fact)}</dl>`}`;
}

// Without a label the line is a value alone; a description list needs both, so the icon's cell is its (empty of words) term.
function fact(line) {
  return html`<div class="fact ${line.role}">
    <dt>${icon(line.role)}${line.label ? html`<span>${line.label}</span>` : nothing}</dt><dd>${line.text}</dd>
  </div>`;
}

function countdown(view, age_s) {
  if (view.seconds === null) return nothing;
  const bar = document.createElement("i");
  bar.style.animationDuration = `${view.seconds}s`;
  bar.style.animationDelay = `${-age_s}s`;
  return html`<div class="countdown" aria-hidden="true">${keyed(view.seq, bar)}</div>`;
}

function shape(view, choices) {
  if (view.mirror) return "mirror";
  if (view.keypad) return "keypad";
  return choices.length > FEW_CHOICES ? "choices" : "message";
}

function choiceList(view, choices, hand) {
  if (choices.length === 0) return nothing;
  const widest = Math.max(...choices.map((option) => width(option.label)));
  const columns = choices.length <= FEW_CHOICES || widest > 2 * LONG_LABEL ? "one" : "two";
  const size = widest <= LONG_LABEL && choices.some((option) => /\d/.test(option.label)) ? "figures" : "words";
  return html`<div class="choices ${columns} ${size}">
    ${repeat(choices, (option) => option.id, (option) => button(view, option, hand, { kind: "choice" }))}
  </div>`;
}

export function screen(view, { press, pressed, mirror, age_s }) {
  const hand = { press, pressed };
  const having = (...roles) => view.options.filter((option) => roles.includes(option.role) && !onKeypad(view, option));
  const choices = having("choice");
  const other = view.lang === "zh" ? "en" : "zh-CN";
  // Few choices: the first thing to do stands first. A keypad or a table of amounts is used before it.
  const primary = having("primary").map((option) => button(view, option, hand, { kind: "primary", before: icon("check") }));
  const few = ["message", "mirror"].includes(shape(view, choices));
  const controls = html`${few ? primary : nothing}${choiceList(view, choices, hand)}${view.keypad ? keypad(view, hand) : nothing}${few ? nothing : primary}`;
  const foot = [...having("back", "cancel"), ...having("service")].map((option) => button(view, option, hand, { kind: option.role, before: icon(option.role) }));
  return html`
    <header class="top">
      ${icon("mark")}
      ${view.demo ? html`<p class="demo">${view.demo}</p>` : nothing}
      <div class="languages">${having("language").map((option) => button(view, option, hand, { kind: "language", before: icon("language"), lang: other }))}</div>
    </header>
    <main class="stage" data-shape=${shape(view, choices)} data-facts=${view.lines.length}>
      ${view.mirror ? mirror : nothing}
      ${view.picture ? html`<div class="picture">${keyed(view.picture, picture(view.picture))}</div>` : nothing}
      <div class="text">
        <h1 id="title">${view.title}</h1>
        ${view.hint ? html`<p class="hint">${view.hint}</p>` : nothing}
        ${view.entry === null ? nothing : html`<output class="entry" aria-labelledby="title">${view.entry}<i class="caret" aria-hidden="true"></i></output>`}
        ${mask(view)}
        ${lines(view)}
        ${view.progress ? html`<div class="progress" role="progressbar" aria-labelledby="title"><i></i></div>` : nothing}
      </div>
      <div class="controls">${controls}</div>
    </main>
    <footer class="foot">${foot}</footer>
    ${countdown(view, age_s)}`;
}
