// What an operator touches: cassettes, camera, bank; what goes wrong; what happened.
import { html, nothing, repeat } from "/static/vendor/lit.js";
import { faults } from "/static/faults.js";
import { money } from "/static/fascia.js";

const FULL_CASSETTE = 2000;
const MOVES = [["Turn left", "turnLeft"], ["Look straight", "lookStraight"], ["Turn right", "turnRight"]];
const PLACES = ["chk", "dvt", "ejt", "exit", "rjt"];
const KIND = { settled: "good", inDoubt: "bad" };
const absent = html`<p class="absent">not there</p>`;

export function panels(bench, hand) {
  const { dispenser, camera, bank } = bench.state;
  return html`${safe(dispenser, hand)}${ledger(bank, hand)}${scenes(camera, hand)}${transactions(bank)}${faults(bench.state, hand)}${log(bench.log)}`;
}

function safe(dispenser, hand) {
  return html`<section class="panel wide" aria-label="Cassettes">
    <h2>Cassettes <small lang="zh-CN">钞箱</small><span class="say">${dispenser ? `power ${dispenser.power}${dispenser.busy ? ", moving" : ""}` : ""}</span></h2>
    ${!dispenser ? absent : html`
      <div class="cassettes">${dispenser.cassettes.map((one) => cassette(one, hand))}${rejects(dispenser, hand)}</div>
      ${path(dispenser)}`}
  </section>`;
}

function cassette(one, hand) {
  const level = !one.present ? "out" : one.remaining === 0 ? "none" : one.near_end ? "low" : "";
  const set = (count) => hand.do("dispenser", "set_cassette", { unit: one.unit, count });
  return html`<div class="cassette ${level}">
    <b>${one.unit}: ${one.denomination}</b>
    <span class="count">${one.present ? one.remaining : "pulled out"}</span>
    <meter min="0" max=${Math.max(one.initial, one.remaining, 1)} low=${one.near_end_at} value=${one.present ? one.remaining : 0} aria-label="Notes in cassette ${one.unit}"></meter>
    <span>${one.near_end ? "nearly empty, " : ""}of ${one.initial} loaded</span>
    <div class="row">
      <button @click=${() => hand.do("dispenser", one.present ? "remove_cassette" : "insert_cassette", { unit: one.unit })}>${one.present ? "Pull out" : "Push in"}</button>
      <button ?disabled=${!one.present} @click=${() => set(FULL_CASSETTE)}>Fill</button>
      <button ?disabled=${!one.present} @click=${() => set(3)}>3</button>
      <button ?disabled=${!one.present} @click=${() => set(0)}>0</button>
    </div></div>`;
}

function rejects(dispenser, hand) {
  const bin = dispenser.reject_bin;
  return html`<div class="cassette ${bin.present ? "" : "out"}">
    <b>Reject bin</b>
    <span class="count">${bin.present ? bin.notes.reduce((sum, count) => sum + count, 0) : "pulled out"}</span>
    <div class="row">
      <button @click=${() => hand.do("dispenser", "reject_bin", { present: !bin.present })}>${bin.present ? "Pull out" : "Push in"}</button>
      <button @click=${() => hand.do("dispenser", "reject_bin", { empty: true })}>Empty</button>
    </div></div>`;
}

function path(dispenser) {
  const here = (place) => dispenser.path.filter((note) => note.place === place).length;
  return html`<ol class="path" aria-label="Note path">
    <li>path</li>
    ${PLACES.map((place) => html`<li class="${here(place) ? "note" : ""} ${dispenser.jam?.where === place ? "jam" : ""}">${place}${here(place) ? ` ${here(place)}` : ""}</li>`)}
    <li>outlet ${dispenser.outlet.reduce((sum, [, count]) => sum + count, 0)}</li><li>taken ${dispenser.taken.reduce((sum, count) => sum + count, 0)}</li>
  </ol>`;
}

function scenes(camera, hand) {
  return html`<section class="panel third" aria-label="Camera">
    <h2>Camera <small lang="zh-CN">摄像头</small><span class="say">${camera?.scene ?? ""}</span></h2>
    ${!camera ? html`<p class="absent">no scenes</p>` : html`<div class="row" role="group" aria-label="What the person does">${MOVES.map(([words, stage]) => html`
      <button class=${camera.stage === stage ? "on" : ""} aria-pressed=${camera.stage === stage} @click=${() => hand.do("camera", "cue", { stage })}>${words}</button>`)}</div>
      <div class="scenes">${camera.scenes.map((scene) => html`
      <button class=${camera.scene === scene ? "shown" : ""} aria-pressed=${camera.scene === scene} @click=${() => hand.do("camera", "show", { scene })}>
        ${scene === "unplugged" ? html`<span class="blank"></span>` : html`<img src="/scene/${scene}" alt="">`}${scene}</button>`)}</div>`}
  </section>`;
}

function ledger(bank, hand) {
  const accounts = bank?.accounts.filter((one) => one.kind === "customer") ?? [];
  return html`<section class="panel two-thirds" aria-label="Bank">
    <h2>Bank <small lang="zh-CN">银行账本</small><span class="say">${bank ? bankSays(bank) : ""}</span></h2>
    ${!bank ? absent : html`
      <div class="scroll accounts" tabindex="0" role="region" aria-label="Accounts"><table>
        <thead><tr><th>account</th><th class="number">balance</th><th class="number">held</th><th class="number">available</th></tr></thead>
        <tbody>${repeat(accounts, (one) => one.name, (one) => html`<tr><td>${one.name}</td><td class="number">${money(one.balance_minor)}</td><td class="number">${money(one.held_minor)}</td><td class="number">${money(one.available_minor)}</td></tr>`)}</tbody>
      </table></div>
      <form class="row" @submit=${(event) => setBalance(event, hand)}>
        <label>Set <select name="name">${accounts.map((one) => html`<option>${one.name}</option>`)}</select></label>
        <label>to <input name="amount" type="number" min="0" step="0.01" value="5000" size="9" required></label>
        <button>Set the balance</button>
      </form>`}
  </section>`;
}

function bankSays(bank) {
  const found = bank.discrepancies.length ? `, ${bank.discrepancies.length} discrepancies` : "";
  const books = bank.unbalanced?.length ? ", books do not balance" : "";
  return `${bank.subscribed ? "on the broker" : "not connected"}${found}${books}`;
}

function setBalance(event, hand) {
  event.preventDefault();
  const fields = new FormData(event.target);
  hand.do("bank", "set_balance", { name: fields.get("name"), minor: Math.round(Number(fields.get("amount")) * 100) });
}

function transactions(bank) {
  const kind = (status) => KIND[status] ?? "warn";
  return html`<section class="panel wide" aria-label="Transactions">
    <h2>Transactions at the bank <small lang="zh-CN">交易</small></h2>
    ${!bank ? absent : html`<div class="scroll transactions" tabindex="0" role="region" aria-label="Withdrawals"><table>
      <thead><tr><th>transaction</th><th>status</th><th>reason</th><th>account</th><th class="number">requested</th><th class="number">presented</th><th>face</th><th>changed</th></tr></thead>
      <tbody>${repeat(bank.transactions, (one) => one.transaction_id, (one) => html`<tr>
        <td>${one.transaction_id}</td><td><span class="status ${kind(one.status)}">${one.status}</span></td><td>${one.reason ?? ""}</td>
        <td>${one.account ?? ""}${one.last_four ? ` …${one.last_four}` : ""}</td>
        <td class="number">${one.requested_minor == null ? "" : money(one.requested_minor)}</td>
        <td class="number">${one.presented_minor == null ? "" : money(one.presented_minor)}</td>
        <td>${one.face ?? ""}</td><td>${(one.changed_at ?? "").slice(11, 19)}</td></tr>`)}</tbody>
    </table>${bank.transactions.length ? nothing : html`<p class="absent">none yet</p>`}</div>`}
  </section>`;
}

function log(entries) {
  return html`<section class="panel wide" aria-label="Log">
    <h2>What happened <small lang="zh-CN">事件</small></h2>
    <ol class="log scroll" tabindex="0">${repeat(entries, (one) => one.number, (one) => html`
      <li><time datetime=${one.at}>${new Date(one.at).toLocaleTimeString("en-GB")}</time><span>${one.device}</span><span class=${one.who}>${one.who === "device" ? one.text : `${one.who}: ${one.text}`}</span></li>`)}</ol>
  </section>`;
}
