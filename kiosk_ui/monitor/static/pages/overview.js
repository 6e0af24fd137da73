// How is the fleet? Tiles, regions and branches, and the terminals, worst first.
import { html, nothing, repeat } from "/static/vendor/lit.js";
import { get, query } from "/static/api.js";
import { code, lang, moment, number, span, t, why } from "/static/texts.js";
import { age, empty, grade, levels, shape, table } from "/static/parts.js";

const TILES = ["fault", "offline", "attention", "ok", "cashOutSoon", "affected"];
const FIRST_ROWS = 100;

let filter = { grade: "", region: "", branch: "", q: "" }; // kept while the person looks at a terminal

export function overviewPage({ redraw, reload }) {
  let overview = null;
  let found = null;
  let most = FIRST_ROWS;
  let typing = 0;

  async function load(background) {
    const path = `terminals${query({ ...filter, limit: most })}`;
    [overview, found] = await Promise.all([get("overview", background), get(path, background)]);
  }

  function choose(change) {
    filter = { ...filter, ...change };
    most = FIRST_ROWS;
    redraw();
    reload();
  }

  function tile(name) {
    const value = overview.tiles[name];
    const chosen = filter.grade === name;
    return html`<button type="button" class="tile" data-grade=${name} aria-pressed=${chosen} ?data-none=${value === 0} @click=${() => choose({ grade: chosen ? "" : name })}>
      <span class="tile-word">${shape(name)}${t(`tile.${name}`, { hours: number(overview.cashOutHours) })}</span><strong>${number(value)}</strong>
    </button>`;
  }

  function regionName(id) {
    const region = overview.regions.find((one) => one.id === id);
    return region ? region[lang] : t("region.none");
  }

  function branches() {
    const ids = [...new Set(overview.branches.map((one) => one.region))];
    return html`<section class="panel regions" aria-labelledby="regions"><h2 id="regions">${t("regions")}</h2>
      ${ids.map((id) => {
        const own = overview.branches.filter((one) => one.region === id);
        const chosen = filter.region === id && filter.branch === "" && id !== "";
        return html`<div class="region">
          <button type="button" class="region-name" aria-pressed=${chosen} ?disabled=${id === ""} @click=${() => choose({ region: chosen ? "" : id, branch: "" })}>${regionName(id)}</button>
          <div class="cells">${own.map(cell)}</div>
        </div>`;
      })}
    </section>`;
  }

  function cell(one) {
    const chosen = filter.branch === one.branch;
    const bad = Object.entries(one.grades).filter(([name]) => name !== "ok");
    const words = Object.entries(one.grades).map(([name, n]) => `${t(`grade.${name}`)} ${n}`).join(", ");
    const total = Object.values(one.grades).reduce((sum, n) => sum + n, 0);
    const short = bad.length ? number(bad.reduce((sum, [, n]) => sum + n, 0)) : number(total);
    return html`<button type="button" class="cell" data-grade=${one.worst} aria-pressed=${chosen} title=${words} aria-label="${one.branch}: ${words}"
      @click=${() => choose({ branch: chosen ? "" : one.branch, region: chosen ? filter.region : one.region })}>${shape(one.worst)}<span>${one.branch}</span><b>${short}</b></button>`;
  }

  function row(one) {
    const soon = one.cashOutAt !== null && one.cashOutAt - overview.now < 7 * 86_400_000;
    return html`<tr>
      <td>${grade(one.grade)}</td>
      <th scope="row"><a href="#/terminal/${one.terminal}">${one.terminal}</a><small>${one.branch}</small></th>
      <td class="why">${one.why.slice(0, 3).map(why).join(lang === "zh" ? "，" : ", ") || html`<span class="soft">${t("nothing")}</span>`}${one.why.length > 3 ? ` +${one.why.length - 3}` : nothing}</td>
      <td>${age(one.heard, overview.now)}</td>
      <td>${levels(one.units)}</td>
      <td>${!soon ? html`<span class="soft">–</span>` : one.cashOutAt <= overview.now ? t("cash.emptyNow") : html`<time title=${moment(one.cashOutAt)}>${t("in", { span: span(one.cashOutAt - overview.now) })}</time>`}</td>
      <td class="figure">${one.alarms ? html`<span title=${t("alarms.of", { open: one.alarms, fresh: one.unacknowledged })}>${number(one.alarms)}${one.unacknowledged ? html`<b class="fresh">${t("alarms.fresh", { n: one.unacknowledged })}</b>` : nothing}</span>` : html`<span class="soft">0</span>`}</td>
      <td class="figure">${one.affected ? number(one.affected) : html`<span class="soft">0</span>`}</td>
    </tr>`;
  }

  function list() {
    const head = ["grade", "terminal", "why", "heard", "cash", "cashOut", "alarms", "affected"].map((name) => t(`column.${name}`));
    const filtered = filter.grade || filter.region || filter.branch || filter.q;
    const chips = [filter.grade && t(`tile.${filter.grade}`, { hours: number(overview.cashOutHours) }), filter.region && regionName(filter.region), filter.branch].filter(Boolean);
    return html`<section class="panel list" aria-labelledby="list"><div class="panel-head">
        <h2 id="list">${t("terminals")} <span class="soft">${t("count", { shown: number(found.terminals.length), total: number(found.total) })}</span></h2>
        ${chips.map((one) => html`<span class="chip">${one}</span>`)}
        ${filtered ? html`<button type="button" class="quiet" @click=${() => choose({ grade: "", region: "", branch: "", q: "" })}>${t("filter.none")}</button>` : nothing}
        <label class="search"><span class="unseen">${t("search")}</span><input type="search" placeholder=${t("search")} .value=${filter.q} @input=${typed}></label>
      </div>
      ${found.terminals.length ? table(t("terminals"), head, repeat(found.terminals, (one) => one.terminal, row), "worst-first") : empty(t("terminals.none"))}
      ${found.total > found.terminals.length ? html`<button type="button" class="more" @click=${() => { most += 500; reload(); }}>${t("more", { n: number(Math.min(500, found.total - found.terminals.length)) })}</button>` : nothing}
    </section>`;
  }

  function typed(event) {
    clearTimeout(typing);
    const text = event.target.value.trim();
    typing = setTimeout(() => choose({ q: text }), 250);
  }

  function view() {
    if (overview === null) return html`<h1 tabindex="-1" class="unseen">${t("page.overview")}</h1>`;
    return html`<h1 tabindex="-1" class="unseen">${t("page.overview")}</h1>
      <section class="tiles" aria-label=${t("tiles")}>${TILES.map(tile)}</section>
      ${overview.flood.length ? html`<div class="flood" role="status">${overview.flood.map((one) => html`<p>${shape("bell")}<b>${t("flood")}</b> ${t("flood.one", { alarm: code("alarm", one.code), alarms: number(one.alarms), terminals: number(one.terminals) })} <a href="#/alarms">${t("page.alarms")}</a></p>`)}</div>` : nothing}
      <div class="columns">${branches()}${list()}</div>`;
  }

  return { load, view };
}
