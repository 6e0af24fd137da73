// Who did what, in a chain that shows when a line was changed or taken out; and what was refused of what terminals sent.
import { html, nothing, repeat } from "/static/vendor/lit.js";
import { get, query } from "/static/api.js";
import { code, number, t, whole } from "/static/texts.js";
import { empty, shape, table } from "/static/parts.js";

export function auditPage({ redraw, act }) {
  let lines = null;
  let broken;
  let refused = [];
  let who = "";

  async function load(background) {
    const [first, second] = await Promise.all([get(`audit${query({ limit: 100, who })}`, background), get("refusals?limit=50", background)]);
    lines = first.lines;
    refused = second.refusals;
  }

  async function more() {
    const next = await get(`audit${query({ limit: 200, who, before: lines[lines.length - 1].n })}`);
    lines = [...lines, ...next.lines];
    redraw();
  }

  async function verify() {
    ({ broken } = await get("audit?limit=1&verify=1"));
    redraw();
  }

  async function choose(event) {
    who = event.target.value.trim().toLowerCase();
    await load(false);
    redraw();
  }

  const detail = (one) => Object.entries(one.detail).map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");

  function row(one) {
    return html`<tr><td class="soft figure">${number(one.n)}</td><td><time>${whole(one.at)}</time></td><th scope="row">${one.who}<small>${code("role", one.role)}</small></th>
      <td>${code("action", one.action)}</td><td class="what">${one.object}</td><td class="what">${detail(one)}</td><td class="soft"><code>${one.hash.slice(0, 8)}</code></td></tr>`;
  }

  function verdict() {
    if (broken === undefined) return nothing;
    return html`<p class="verdict" role="status" data-grade=${broken === null ? "ok" : "fault"}>${shape(broken === null ? "ok" : "fault")}${broken === null ? t("audit.whole") : t("audit.broken", { n: number(broken) })}</p>`;
  }

  function view() {
    if (lines === null) return html`<h1 tabindex="-1">${t("page.audit")}</h1>`;
    const head = ["number", "at", "who", "action", "object", "what", "hash"].map((name) => t(`column.${name}`));
    const rows = refused.map((one) => html`<tr><td><time>${whole(one.at)}</time></td><th scope="row">${t(`refusal.${one.reason}`)}</th><td class="what">${one.topic}</td><td class="what">${one.detail}</td></tr>`);
    return html`<div class="panel-head"><h1 tabindex="-1">${t("page.audit")}</h1><button type="button" @click=${() => act(verify)}>${t("audit.verify")}</button>${verdict()}
        <label class="search"><span class="unseen">${t("audit.who")}</span><input type="search" placeholder=${t("audit.who")} .value=${who} @change=${(event) => act(() => choose(event))}></label></div>
      <section class="panel list" aria-label=${t("page.audit")}>${lines.length ? table(t("page.audit"), head, repeat(lines, (one) => one.n, row), "tail") : empty(t("audit.none"))}
        ${lines.length && lines[lines.length - 1].n > 1 ? html`<button type="button" class="more" @click=${() => act(more)}>${t("more", { n: number(200) })}</button>` : nothing}</section>
      <section class="panel" aria-labelledby="refused"><h2 id="refused">${t("refused")}</h2>
        ${rows.length ? table(t("refused"), ["at", "reason", "topic", "what"].map((name) => t(`column.${name}`)), rows, "tail") : empty(t("refused.none"))}</section>`;
  }

  return { load, view };
}
