// Remote commands: ordered with a reason and an expiry, agreed to by a second person where needed, followed to their end.
import { html, nothing, render, repeat } from "/static/vendor/lit.js";
import { get, post } from "/static/api.js";
import { code, moment, number, reasonOf, span, t } from "/static/texts.js";
import { age, ask, empty, shape, table } from "/static/parts.js";

const COMMANDS = ["status", "counters", "journalRange", "selfTest", "picture", "restartWorker", "restartAgent", "enterService", "leaveService"];
const DEVICES = ["cashDispenser", "cardReader", "pinPad", "printer", "faceVerifier"];
const WITH_DEVICE = ["selfTest", "picture", "restartWorker"];
const LIVES_S = [300, 3600, 28_800, 86_400];
const TAIL = 100;
const STATE_SHAPE = { succeeded: "ok", failed: "fault", refused: "fault", rejected: "fault", expired: "offline", timedOut: "offline", cancelled: "offline", withdrawn: "offline" };
const ON_ITS_WAY = ["sent", "delivered"];

export function commandHead(whole) {
  return ["state", "command", ...(whole ? ["terminal"] : []), "people", "ordered", "result", "do"].map((name) => t(`column.${name}`));
}

function parameters(one) {
  const found = one.parameters;
  if (found.device) return code("device", found.device);
  return found.from ? `${number(found.from)}–${number(found.to)}` : (found.commandId ?? "").slice(0, 8);
}

function result(one) {
  if (one.command === "picture" && one.state === "succeeded") return html`<a href="/api/v1/commands/${one.commandId}/picture" target="_blank" rel="noopener">${t("command.picture")}</a>`;
  const words = [one.result && code("result", one.result), one.resultReason && reasonOf(one.resultReason)].filter(Boolean).join(" · ");
  const data = one.resultData && one.command !== "journalRange" ? JSON.stringify(one.resultData, null, 2) : "";
  return html`${words || html`<span class="soft">–</span>`}${data ? html`<details><summary>${t("command.data")}</summary><pre tabindex="0">${data}</pre></details>` : nothing}`;
}

export function commandRows(commands, { session, reload, act, now, whole }) {
  return repeat(
    commands,
    (one) => one.commandId,
    (one) => html`<tr>
      <td><span class="state" data-state=${one.state}>${shape(STATE_SHAPE[one.state] ?? "bell")}<span>${t(`state.${one.state}`)}</span></span><small>${age(one.stateAt, now)}</small></td>
      <th scope="row">${code("command", one.command)}<small>${[parameters(one), one.reason].filter(Boolean).join(" · ")}</small></th>
      ${whole ? html`<td><a href="#/terminal/${one.terminal}">${one.terminal}</a><small>${one.branch}</small></td>` : nothing}
      <td>${one.issuedBy}${one.approvedBy ? html`<small>${t("command.approvedBy", { name: one.approvedBy })}</small>` : nothing}</td>
      <td>${moment(one.issuedAt)}<small>${one.expiresAt > now ? t("command.until", { span: span(one.expiresAt - now) }) : t("command.over")}</small></td>
      <td>${result(one)}</td>
      <td class="do">${session.role === "viewer" ? nothing : doing(one, session, reload, act)}</td>
    </tr>`,
  );
}

function doing(one, session, reload, act) {
  if (one.state === "awaitingApproval") {
    const own = one.issuedBy === session.name;
    return html`${own ? nothing : html`<button type="button" class="primary small" @click=${() => agree(one, reload)}>${t("command.approve")}</button>`}
      <button type="button" class="small" @click=${() => act(() => post(`commands/${one.commandId}/reject`).then(reload))}>${own ? t("command.withdraw") : t("command.reject")}</button>`;
  }
  const named = { command: code("command", one.command), terminal: one.terminal };
  if (one.state === "queued") return html`<button type="button" class="small" @click=${() => takeBack(one, t("command.withdraw"), t("command.withdrawing", named), reload)}>${t("command.withdraw")}</button>`;
  if (!ON_ITS_WAY.includes(one.state) || one.command === "cancel") return nothing;
  return html`<button type="button" class="small" @click=${() => takeBack(one, t("command.cancel"), t("command.cancelling", named), reload)}>${t("command.cancel")}</button>`;
}

function agree(one, reload) {
  ask({
    title: t("command.approve"),
    body: html`<p>${t("command.agree", { name: one.issuedBy, command: code("command", one.command), terminal: one.terminal })}</p><blockquote>${one.reason}</blockquote>`,
    confirm: t("command.approve"),
    danger: true,
    doIt: async () => {
      await post(`commands/${one.commandId}/approve`);
      await reload();
    },
  });
}

// Not sent: it never will be. Sent, perhaps while the person was reading: the terminal is asked, with a command of its own in the list.
function takeBack(one, verb, words, reload) {
  ask({
    title: verb,
    body: html`<p>${words}</p><label>${t("command.reason")}<input name="reason" required minlength="3" maxlength="200"></label>`,
    confirm: verb,
    doIt: async ({ reason }) => {
      await post(`commands/${one.commandId}/withdraw`, { reason });
      await reload();
    },
  });
}

// The form shows only what the chosen command takes.
function fields(command, journal) {
  const from = Math.max(1, journal - TAIL + 1);
  return html`
    ${WITH_DEVICE.includes(command) ? html`<label>${t("command.device")}<select name="device">${DEVICES.map((name) => html`<option value=${name}>${code("device", name)}</option>`)}</select></label>` : nothing}
    ${command === "journalRange" ? html`<div class="two"><label>${t("command.from")}<input name="from" type="number" min="1" required .value=${String(from)}></label><label>${t("command.to")}<input name="to" type="number" min="1" required .value=${String(from + TAIL - 1)}></label></div>` : nothing}
    ${command === "leaveService" ? html`<p class="two-people">${shape("affected")}${t("command.twoPeople")}</p>` : nothing}`;
}

export function orderCommand(terminal, { journal, reload }) {
  ask({
    title: t("command.for", { terminal }),
    body: html`
      <label>${t("command.which")}<select name="command" @change=${(event) => render(fields(event.target.value, journal), document.getElementById("command-fields"))}>${COMMANDS.map((name) => html`<option value=${name}>${code("command", name)}</option>`)}</select></label>
      <div id="command-fields"></div>
      <label>${t("command.reason")}<input name="reason" required minlength="3" maxlength="200"></label>
      <label>${t("command.expiry")}<select name="life">${LIVES_S.map((s) => html`<option value=${s}>${span(s * 1000)}</option>`)}</select></label>`,
    confirm: t("command.send"),
    doIt: async ({ command, device, from, to, reason, life }) => {
      const given = command === "journalRange" ? { from: Number(from), to: Number(to) } : device ? { device } : {};
      await post("commands", { terminal, command, parameters: given, reason, lifeS: Number(life) });
      await reload();
    },
  });
}

export function commandsPage({ session, reload, act }) {
  let found = null;

  async function load(background) {
    found = await get("commands?limit=200", background);
  }

  function view() {
    if (found === null) return html`<h1 tabindex="-1">${t("page.commands")}</h1>`;
    const waiting = found.commands.filter((one) => one.state === "awaitingApproval");
    const rest = found.commands.filter((one) => one.state !== "awaitingApproval");
    const list = (commands, label) => table(label, commandHead(true), commandRows(commands, { session, reload, act, now: found.now, whole: true }));
    return html`<h1 tabindex="-1">${t("page.commands")}</h1>
      ${session.canCommand ? nothing : html`<p class="last-known">${shape("attention")}${t("command.noKey")}</p>`}
      ${waiting.length ? html`<section class="panel waiting" aria-labelledby="waiting"><h2 id="waiting">${t("commands.waiting")}</h2>${list(waiting, t("commands.waiting"))}</section>` : nothing}
      <section class="panel list" aria-label=${t("page.commands")}>${rest.length ? list(rest, t("page.commands")) : empty(t("commands.none"))}</section>`;
  }

  return { load, view };
}
