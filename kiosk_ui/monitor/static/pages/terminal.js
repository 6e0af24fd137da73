// One terminal: what is known of it, how old that is, and what can be done.
import { html, nothing } from "/static/vendor/lit.js";
import { Refused, get, post, query } from "/static/api.js";
import { ago, code, detail, moment, money, number, size, span, t, why } from "/static/texts.js";
import { age, ask, bars, empty, grade, level, shape, table } from "/static/parts.js";
import { alarmRows, alarmHead } from "/static/pages/alarms.js";
import { commandRows, commandHead, orderCommand } from "/static/pages/commands.js";
import { eventRows, journalPart, missingPart } from "/static/pages/history.js";

const FIRST_EVENTS = 25;
const BAD = { hardwareError: "fault", fraudAttempt: "fault", potentialFraud: "fault", offline: "offline", powerOff: "offline", noDevice: "offline", online: "ok", deviceBusy: "ok" };

export function terminalPage({ session, redraw, reload, act, argument }) {
  let found = null;
  let wear = { hours: [] };
  let earlier = []; // events that the person asked for

  async function load(background) {
    const path = `terminals/${encodeURIComponent(argument)}`;
    [found, wear] = await Promise.all([get(path, background), get(`${path}/telemetry${query({ hours: 48 })}`, background)]);
  }

  function head() {
    const { line } = found;
    return html`<div class="terminal-head">
      <h1 tabindex="-1">${line.terminal}<small>${t("branch", { branch: line.branch })}</small></h1>
      ${grade(line.grade)}
      <ul class="whys">${line.why.map((one) => html`<li>${why(one)}</li>`)}</ul>
      ${session.role !== "viewer" && session.canCommand ? html`<button type="button" class="primary" @click=${() => orderCommand(line.terminal, { journal: found.picture.journal ?? 0, reload })}>${t("command.new")}</button>` : nothing}
    </div>
    ${line.link === "offline" ? html`<p class="last-known" role="status">${shape("offline")}${t("lastKnown", { link: ago(line.linkAt, found.now), heard: ago(line.heard, found.now) })}</p>` : nothing}`;
  }

  function devices() {
    const all = Object.entries(found.picture.devices);
    const restarts = found.picture.state.restarts ?? {};
    return html`<section class="panel" aria-labelledby="devices"><h2 id="devices">${t("devices")}</h2>
      <ul class="devices">${all.map(
        ([name, one]) => html`<li data-grade=${BAD[one.device] ?? "attention"}>${shape(BAD[one.device] ?? "attention")}
          <span class="device-name">${code("device", name)}</span>
          <span class="device-status">${code("status", one.device)}${one.detail ? html`<small>${detail(one.detail)}</small>` : nothing}</span>
          <span class="soft">${restarts[name] ? t("restarts", { n: restarts[name] }) : nothing} ${age(one.key[0], found.now)}</span></li>`,
      )}</ul>${all.length ? nothing : empty(t("unknown"))}</section>`;
  }

  function cash() {
    const { units } = found.line;
    const total = units.reduce((sum, unit) => sum + (unit.count ?? 0) * (unit.minor ?? 0), 0);
    return html`<section class="panel" aria-labelledby="cash"><h2 id="cash">${t("cash")} <span class="soft">${money(total, units[0]?.currency)}</span></h2>
      <ul class="cassettes">${units.map(
        (unit) => html`<li><span class="cassette-name">${t("unit", { unit: unit.unit })}<b>${money(unit.minor, unit.currency)}</b></span>
          ${level(unit)}
          <span>${t("notes", { count: number(unit.count), initial: number(unit.initial) })}<small>${code("accuracy", unit.accuracy)}</small></span>
          <span class="cassette-end">${ends(unit)}</span></li>`,
      )}</ul>${units.length ? nothing : empty(t("unknown"))}</section>`;
  }

  function ends(unit) {
    if (unit.status !== "ok" && unit.status !== null) return code("unitStatus", unit.status);
    if (unit.count === 0) return t("cash.emptyNow");
    if (unit.emptyAt === null) return html`<span class="soft">${t("cash.noForecast")}</span>`;
    return html`${t("cash.emptyIn", { span: span(unit.emptyAt - found.now) })}<small>${moment(unit.emptyAt)}</small>`;
  }

  function facts() {
    const { picture, line } = found;
    const agent = { ...picture.state.agent, ...picture.telemetry.agent };
    const waiting = Object.entries(agent.outbox ?? {}).filter(([, n]) => n > 0);
    const rows = [
      ["service", code("service", line.service), line.reasons.map((one) => code("why", one)).join(" ")],
      ["since", moment(line.since), line.since ? ago(line.since, found.now) : ""],
      ["latched", picture.state.latched ? picture.state.latched.transactionId : t("no"), picture.state.latched ? code("latch", picture.state.latched.cause) : ""],
      ["version", agent.version ?? "–", agent.uptime_s ? t("uptime", { span: span(agent.uptime_s * 1000) }) : ""],
      ["outbox", waiting.length ? waiting.map(([name, n]) => `${code("class", name)} ${number(n)}`).join(" ") : number(0), ""],
      ["disk", size(agent.diskFreeBytes), ""],
      ["clock", agent.clockOffsetMs === null || agent.clockOffsetMs === undefined ? "–" : `${number(agent.clockOffsetMs)} ms`, ""],
      ["certificate", agent.certificateDaysLeft === null || agent.certificateDaysLeft === undefined ? "–" : t("days", { n: agent.certificateDaysLeft }), ""],
      ["configuration", picture.reported.version ? number(picture.reported.version) : number(agent.configurationVersion), picture.reported.state ? code("configuration", picture.reported.state) : ""],
    ];
    return html`<section class="panel" aria-labelledby="facts"><h2 id="facts">${t("facts")}</h2>
      ${configuration()}
      <dl class="facts">${rows.map(([name, value, more]) => html`<div><dt>${t(`fact.${name}`)}</dt><dd>${value}${more ? html`<small>${more}</small>` : nothing}</dd></div>`)}</dl></section>`;
  }

  // What the centre desires, what the terminal made of it, and (for a supervisor) a new version.
  function configuration() {
    const { desired } = found;
    const may = session.role === "supervisor" && session.canCommand;
    if (!desired && !may) return nothing;
    const words = desired ? t("desired.one", { version: number(desired.version), by: desired.issuedBy, at: moment(desired.issuedAt) }) : t("desired.none");
    return html`<p class="desired"><span>${words}</span>${may ? html`<button type="button" class="small" @click=${change}>${t("desired.change")}</button>` : nothing}</p>`;
  }

  function change() {
    const text = JSON.stringify(found.desired?.configuration ?? { fleet: { telemetry_s: 60 } }, null, 2);
    ask({
      title: t("desired.for", { terminal: argument }),
      body: html`<label>${t("desired.configuration")}<textarea name="configuration" rows="10" spellcheck="false" required .value=${text}></textarea></label>
        <p class="soft">${t("desired.hint")}</p>
        <label>${t("command.reason")}<input name="reason" required minlength="3" maxlength="200"></label>`,
      confirm: t("desired.send"),
      danger: true,
      doIt: async ({ configuration, reason }) => {
        let wanted;
        try {
          wanted = JSON.parse(configuration);
        } catch {
          throw new Refused(400, { error: "notJson" });
        }
        await post(`terminals/${encodeURIComponent(argument)}/configuration`, { configuration: wanted, reason });
        await reload();
      },
    });
  }

  function charts() {
    const rows = found.hours.map((one) => ({ hour: one.hour, well: one.transactions - one.affected, affected: one.affected }));
    const all = rows.reduce((sum, one) => sum + one.well + one.affected, 0);
    const bad = rows.reduce((sum, one) => sum + one.affected, 0);
    const jams = wear.hours.reduce((sum, one) => sum + (one.jams ?? 0), 0);
    const moved = wear.hours.reduce((sum, one) => sum + (one.notesMoved ?? 0), 0);
    return html`<section class="panel charts" aria-labelledby="charts"><h2 id="charts">${t("charts")}</h2>
      ${bars(rows, [{ key: "affected", tone: "bad" }, { key: "well", tone: "accent" }], t("chart.customers", { all: number(all), bad: number(bad) }), 48)}
      ${bars(wear.hours, [{ key: "notesMoved", tone: "accent" }], t("chart.notes", { moved: number(moved) }), 48)}
      ${bars(wear.hours, [{ key: "jams", tone: "bad" }], t("chart.jams", { jams: number(jams) }), 48)}</section>`;
  }

  async function more() {
    const { at } = earlier.at(-1) ?? found.events.at(-1);
    const next = await get(`terminals/${encodeURIComponent(argument)}/events${query({ before: at, limit: 100 })}`);
    earlier = [...earlier, ...next.events];
    redraw();
  }

  function view() {
    if (found === null) return html`<h1 tabindex="-1">${argument}</h1>`;
    const standing = found.alarms.filter((one) => one.standing !== "closed").sort((a, b) => (a.aside !== "") - (b.aside !== ""));
    const past = found.alarms.filter((one) => one.standing === "closed");
    return html`<p class="crumb"><a href="#/overview">${t("page.overview")}</a> › ${argument}</p>${head()}
      <div class="terminal-grid ${found.line.link === "offline" ? "stale" : ""}">${devices()}${cash()}${facts()}${charts()}</div>
      ${missingPart(found.gaps, session, reload)}
      <section class="panel" aria-labelledby="terminal-alarms"><h2 id="terminal-alarms">${t("page.alarms")}</h2>
        ${standing.length + past.length ? table(t("page.alarms"), alarmHead(false), alarmRows([...standing, ...past.slice(0, 8)], { session, reload, act, now: found.now, whole: false })) : empty(t("alarms.none"))}</section>
      <section class="panel" aria-labelledby="terminal-commands"><h2 id="terminal-commands">${t("page.commands")}</h2>
        ${found.commands.length ? table(t("page.commands"), commandHead(false), commandRows(found.commands.slice(0, 15), { session, reload, act, now: found.now, whole: false })) : empty(t("commands.none"))}</section>
      ${journalPart(found.commands)}
      <section class="panel" aria-labelledby="terminal-events"><h2 id="terminal-events">${t("events")}</h2>
        ${found.events.length ? table(t("events"), ["at", "event", "what", "number"].map((name) => t(`column.${name}`)), eventRows([...found.events, ...earlier]), "tail") : empty(t("events.none"))}
        ${found.events.length >= FIRST_EVENTS ? html`<button type="button" class="more" @click=${() => act(more)}>${t("events.more")}</button>` : nothing}</section>`;
  }

  return { load, view };
}
