// What a customer touches: card slot, PIN pad, cash outlet, receipt.
import { html, nothing } from "/static/vendor/lit.js";

const KEYS = ["1", "2", "3", "cancel", "4", "5", "6", "clear", "7", "8", "9", "backspace", ".", "0", "00", "enter"];
const SIGNS = { cancel: "Cancel", clear: "Clear", backspace: "⌫", enter: "Enter" };
const NAMES = { backspace: "Backspace", ".": "Point" };

const absent = html`<p class="absent">not there</p>`;

export function money(minor) {
  return (minor / 100).toLocaleString("en", { minimumFractionDigits: 2 });
}

export function fascia(bench, hand) {
  const { card, pinpad, dispenser, printer } = bench.state;
  return html`${cardSlot(card, bench.cast, hand)}${pinPad(pinpad, card, bench.cast, hand)}
    <div class="unit stack-unit">${outlet(dispenser, hand)}${receipt(printer, hand)}</div>`;
}

function cardSlot(card, cast, hand) {
  const inside = card?.card?.profile;
  return html`<section class="unit" aria-label="Card slot">
    <h2>Card slot <small lang="zh-CN">插卡口</small><span class="say">${card ? (inside ? `${inside}${card.powered ? ", chip on" : ""}` : "empty") : ""}</span></h2>
    ${!card ? absent : html`
      <div class="slot ${inside ? "" : "out"}"></div>
      ${inside ? html`<div class="plastic"></div>` : nothing}
      <div class="row"><button class="main" ?disabled=${!inside} @click=${() => hand.do("card", "remove")}>Take the card out</button></div>
      <div class="cards" role="group" aria-label="Cards">
        ${cast.map((one) => html`<button class=${inside === one.name ? "in" : ""} title="PIN ${one.pin}"
          @click=${() => hand.do("card", inside ? "swap" : "insert", { card: one.name })}
        ><span>${one.title}</span><code>PIN ${one.pin}</code></button>`)}
      </div>`}
  </section>`;
}

function pinPad(pinpad, card, cast, hand) {
  const pin = cast.find((one) => one.name === card?.card?.profile)?.pin;
  return html`<section class="unit" aria-label="PIN pad">
    <h2>PIN pad <small lang="zh-CN">密码键盘</small><span class="say">${pinpad ? (pinpad.tampered ? "tampered" : pinpad.mode) : ""}</span></h2>
    ${!pinpad ? absent : html`
      <div class="dots" role="img" aria-label="${pinpad.mask_count} digits">${Array.from({ length: pinpad.mask_count }, () => html`<i></i>`)}</div>
      <div class="pad">${KEYS.map((key) => html`<button class="${SIGNS[key] ? `fn ${key}` : ""}" aria-label=${NAMES[key] ?? SIGNS[key] ?? key}
        ?disabled=${!pinpad.power} @click=${() => hand.press(key)}>${SIGNS[key] ?? key}</button>`)}</div>
      <div class="row"><button ?disabled=${!pin} @click=${() => hand.press(...pin, "enter")}>Type this card's PIN</button></div>`}
  </section>`;
}

function outlet(dispenser, hand) {
  const denomination = (unit) => dispenser.cassettes[unit - 1]?.denomination ?? `cassette ${unit}`;
  return html`<section aria-label="Cash outlet">
    <h2>Cash outlet <small lang="zh-CN">出钞口</small><span class="say">${dispenser ? (dispenser.busy ? "moving" : dispenser.outlet.length ? "notes are out" : "empty") : ""}</span></h2>
    ${!dispenser ? absent : html`
      <div class="slot ${dispenser.outlet.length ? "out" : ""}"></div>
      <div class="notes">${dispenser.outlet.map(([unit, count]) => html`<div class="bundle u${unit}">
        <div class="stack">${stack(Math.min(count, 5), denomination(unit).replace("CNY ", "¥"))}</div>
        <span>${count} x ${denomination(unit).replace("CNY ", "¥")}</span></div>`)}</div>
      <div class="row"><button class="main" ?disabled=${!dispenser.outlet.length} @click=${() => hand.do("dispenser", "take_notes")}>Take the notes</button></div>`}
  </section>`;
}

// Only the note on top shows its number.
function stack(count, words) {
  return Array.from({ length: count }, (_, place) => html`<div class="paper-note">${place === count - 1 ? words : nothing}</div>`);
}

function receipt(printer, hand) {
  const last = printer?.receipts.at(-1);
  const waiting = printer?.receipts.some((one) => !one.taken);
  return html`<section aria-label="Receipt">
    <h2>Receipt <small lang="zh-CN">凭条</small><span class="say">${printer ? (last ? `${last.number}${last.taken ? ", taken" : ""}` : "none yet") : ""}</span></h2>
    ${!printer ? absent : html`
      <div class="receipt" tabindex="0" role="region" aria-label="The last receipt">${!last ? nothing : last.picture
        ? html`<img src="/receipt/${last.number}" alt=${last.lines.join("\n")}>`
        : html`<pre>${last.lines.join("\n")}</pre>`}</div>
      <div class="row"><button class="main" ?disabled=${!waiting} @click=${() => hand.do("printer", "take_receipt")}>Take the receipt</button></div>`}
  </section>`;
}
