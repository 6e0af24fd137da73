// Alarms after ISA-18.2: what is new, who has it, what is set aside.
import { html, nothing, repeat } from "/static/vendor/lit.js";
import { get, post, query } from "/static/api.js";
import { code, detail, moment, number, span, t } from "/static/texts.js";
import { age, ask, empty, severity, shape, table } from "/static/parts.js";

const SEVERITIES = ["critical", "major", "minor", "warning"];
const STANDING = ["unacknowledged", "returned", "acknowledged", "closed"];
const SHELF_H = [1, 4, 8, 24];
const VIEWS = ["open", "aside", "every"];
const AT_ONCE = 200; // the API takes no more alarms in one action

export function alarmHead(whole) {
  return ["severity", "alarm", ...(whole ? ["terminal"] : []), "standing", "raised", "owner", "do"].map((name) => t(`column.${name}`));
}

const asksForAcknowledgement = (one) => one.standing === "unacknowledged" || one.standing === "returned";

function standing(one) {
  const words = [html`<span class="standing" data-standing=${one.standing}>${t(`standing.${one.standing}`)}</span>`];
  if (one.aside) words.push(html`<small>${one.aside === "shelved" ? t("aside.shelved", { until: moment(one.shelvedUntil) }) : t(`aside.${one.aside}`)}</small>`);
  if (one.acknowledgedBy) words.push(html`<small>${one.acknowledgedBy}</small>`);
  return words;
}

function evidence(one) {
  const parts = Object.entries(one.evidence).filter(([, value]) => value !== null && value !== "" && typeof value !== "object");
  return parts.slice(0, 3).map(([name, value]) => `${code("evidence", name)} ${measured(name, value)}`).join(", ");
}

function measured(name, value) {
  if (typeof value === "number") return number(value);
  if (name === "detail") return detail(value);
  return name === "since" ? moment(Date.parse(value)) : code(name === "cause" ? "latch" : name, value);
}

export function alarmRows(alarms, { session, reload, act, now, whole, chosen, choose }) {
  const may = session.role !== "viewer";
  return repeat(
    alarms,
    (one) => one.alarmId,
    (one) => html`<tr class=${one.aside ? "aside" : ""}>
      <td>${choose && may ? html`<input type="checkbox" aria-label=${t("alarms.choose", { alarm: code("alarm", one.code), terminal: one.terminal })} .checked=${chosen.has(one.alarmId)} @change=${() => choose(one.alarmId)}>` : nothing}${severity(one.severity)}</td>
      <th scope="row">${code("alarm", one.code)}<small>${[one.device && code("device", one.device), evidence(one), one.transactionId].filter(Boolean).join(" · ")}</small></th>
      ${whole ? html`<td><a href="#/terminal/${one.terminal}">${one.terminal}</a><small>${one.branch}</small></td>` : nothing}
      <td>${standing(one)}</td>
      <td>${age(one.raisedAt ?? one.returnedAt, now)}<small>${one.returnedAt ? t("alarms.lasted", { span: span((one.returnedAt ?? now) - (one.raisedAt ?? one.returnedAt)) }) : nothing}</small></td>
      <td>${one.owner ?? html`<span class="soft">–</span>`}</td>
      <td class="do">${may ? doing(one, session, reload, act) : nothing}</td>
    </tr>`,
  );
}

function doing(one, session, reload, act) {
  const acknowledge = () => post("alarms/actions", { alarms: [one.alarmId], action: "acknowledge" }).then(reload);
  return html`
    ${asksForAcknowledgement(one) ? html`<button type="button" class="primary small" @click=${() => act(acknowledge)}>${t("alarm.do.acknowledge")}</button>` : nothing}
    <button type="button" class="small" @click=${() => act(() => details(one, session, reload))}>${t("alarm.do.more")}</button>`;
}

async function details(one, session, reload) {
  const [{ notes }, { people }] = await Promise.all([get(`alarms/notes${query({ alarm: one.alarmId })}`), get(`alarms${query({ terminal: one.terminal })}`)]);
  const actions = ["note", "own", one.aside === "shelved" ? "unshelve" : "shelve"];
  if (session.role === "supervisor") actions.push(one.outOfService ? "inService" : "outOfService");
  ask({
    title: `${code("alarm", one.code)} – ${one.terminal}`,
    body: html`
      ${notes.length ? html`<ol class="notes">${notes.map((note) => html`<li><b>${note.who}</b> <span class="soft">${moment(note.at)}</span><p>${note.text}</p></li>`)}</ol>` : html`<p class="soft">${t("alarm.noNotes")}</p>`}
      <fieldset><legend>${t("alarm.do")}</legend>${actions.map((name, index) => html`<label class="choice"><input type="radio" name="action" value=${name} ?checked=${index === 0}>${t(`alarm.do.${name}`)}</label>`)}</fieldset>
      <label>${t("alarm.text")}<textarea name="text" rows="3" maxlength="500"></textarea></label>
      <div class="two">
        <label>${t("alarm.owner")}<select name="owner">${people.map((name) => html`<option ?selected=${name === (one.owner ?? session.name)}>${name}</option>`)}</select></label>
        <label>${t("alarm.hours")}<select name="hours">${SHELF_H.map((hours) => html`<option value=${hours}>${span(hours * 3_600_000)}</option>`)}</select></label>
      </div>`,
    confirm: t("alarm.do.it"),
    doIt: async ({ action, text, owner, hours }) => {
      await post("alarms/actions", { alarms: [one.alarmId], action, text, owner, hours: Number(hours) });
      await reload();
    },
  });
}

let view = "open";

export function alarmsPage({ session, redraw, reload, act }) {
  let found = null;
  let busy = false;
  const chosen = new Set();

  async function load(background) {
    found = await get(`alarms${query({ every: view === "every" ? 1 : "" })}`, background);
    const there = new Set(found.alarms.map((one) => one.alarmId));
    for (const id of chosen) if (!there.has(id)) chosen.delete(id);
  }

  function choose(id) {
    if (!chosen.delete(id)) chosen.add(id);
    redraw();
  }

  // What is shown and not acknowledged: all of it, or none when it is all chosen already.
  function chooseAll(ids) {
    const every = ids.every((id) => chosen.has(id));
    for (const id of ids) every ? chosen.delete(id) : chosen.add(id);
    redraw();
  }

  // One batch after the other; what a refused batch leaves stays chosen.
  async function acknowledgeChosen() {
    const ids = [...chosen];
    busy = true;
    redraw();
    try {
      for (let start = 0; start < ids.length; start += AT_ONCE) {
        const batch = ids.slice(start, start + AT_ONCE);
        await post("alarms/actions", { alarms: batch, action: "acknowledge" });
        for (const id of batch) chosen.delete(id);
      }
    } finally {
      busy = false;
      await reload();
    }
  }

  function sorted() {
    const rank = (one) => [STANDING.indexOf(one.standing), SEVERITIES.indexOf(one.severity), -(one.raisedAt ?? one.returnedAt ?? 0)];
    const shown = found.alarms.filter((one) => view === "every" || Boolean(one.aside) === (view === "aside"));
    return shown.sort((a, b) => rank(a).reduce((sum, value, index) => sum || value - rank(b)[index], 0));
  }

  function draw() {
    if (found === null) return html`<h1 tabindex="-1">${t("page.alarms")}</h1>`;
    const rows = sorted();
    const fresh = session.role === "viewer" ? [] : rows.filter(asksForAcknowledgement).map((one) => one.alarmId);
    const every = fresh.every((id) => chosen.has(id));
    const count = (name) => found.alarms.filter((one) => Boolean(one.aside) === (name === "aside")).length;
    return html`<div class="panel-head"><h1 tabindex="-1">${t("page.alarms")}</h1>
        <div class="switch" role="group" aria-label=${t("alarms.view")}>${VIEWS.map((name) => html`<button type="button" aria-pressed=${view === name} @click=${() => { view = name; chosen.clear(); redraw(); reload(); }}>${t(`alarms.${name}`)}${name === "every" || view === "every" ? nothing : html` <b>${number(count(name))}</b>`}</button>`)}</div>
        ${fresh.length ? html`<button type="button" @click=${() => chooseAll(fresh)}>${every ? t("alarms.chooseNone") : t("alarms.chooseAll", { n: number(fresh.length) })}</button>` : nothing}
        ${chosen.size ? html`<button type="button" class="primary" ?disabled=${busy} @click=${() => act(acknowledgeChosen)}>${t("alarms.acknowledge", { n: number(chosen.size) })}</button>` : nothing}</div>
      ${found.flood.length ? html`<div class="flood">${found.flood.map((one) => html`<p>${shape("bell")}<b>${t("flood")}</b> ${t("flood.one", { alarm: code("alarm", one.code), alarms: number(one.alarms), terminals: number(one.terminals) })}</p>`)}</div>` : nothing}
      <section class="panel list" aria-label=${t("page.alarms")}>${rows.length ? table(t("page.alarms"), alarmHead(true), alarmRows(rows, { session, reload, act, now: found.now, whole: true, chosen, choose })) : empty(t("alarms.none"))}</section>`;
  }

  return { load, view: draw };
}
