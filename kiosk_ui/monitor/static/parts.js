// Small parts that every page uses: shapes for grades, ages, bars, the dialog. Never colour alone: shape, word and colour.
import { html, nothing, render, svg } from "/static/vendor/lit.js";
import { ago, code, money, moment, number, t } from "/static/texts.js";
import { Refused } from "/static/api.js";

const SHAPES = {
  fault: svg`<path class="fill" d="M7.8 2h8.4L22 7.8v8.4L16.2 22H7.8L2 16.2V7.8z"/><path class="cut" d="M8.5 8.5l7 7M15.5 8.5l-7 7"/>`,
  offline: svg`<circle class="ring" cx="12" cy="12" r="9"/><path class="ring" d="M5.8 18.2L18.2 5.8"/>`,
  attention: svg`<path class="fill" d="M12 2.6L23 21.4H1z"/><path class="cut" d="M12 9v6M12 18v.5"/>`,
  ok: svg`<circle class="fill" cx="12" cy="12" r="10"/><path class="cut" d="M7.5 12.5l3 3 6-6.5"/>`,
  cashOutSoon: svg`<rect class="ring" x="2.5" y="6" width="19" height="12" rx="2"/><circle class="ring" cx="12" cy="12" r="2.6"/><path class="ring" d="M12 21.5V20M12 4V2.5"/>`,
  affected: svg`<circle class="ring" cx="12" cy="7.5" r="4"/><path class="ring" d="M4.5 21c.6-4.6 3.6-7 7.5-7s6.9 2.4 7.5 7"/>`,
  bell: svg`<path class="ring" d="M6 16.5V11a6 6 0 0112 0v5.5l1.5 2h-15zM10 21h4"/>`,
};

export function shape(name) {
  return html`<svg class="shape" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${SHAPES[name] ?? SHAPES.attention}</svg>`;
}

export function grade(name) {
  return html`<span class="grade" data-grade=${name}>${shape(name)}<span>${t(`grade.${name}`)}</span></span>`;
}

const SEVERITY_SHAPE = { critical: "fault", major: "attention", minor: "attention", warning: "bell" };

export function severity(name) {
  return html`<span class="severity" data-severity=${name}>${shape(SEVERITY_SHAPE[name])}<span>${code("severity", name)}</span></span>`;
}

export function age(ms, now) {
  return html`<time datetime=${ms ? new Date(ms).toISOString() : nothing} title=${moment(ms, { seconds: true })}>${ago(ms, now)}</time>`;
}

// A cassette's filling. The word beside it says the same.
export function level(unit) {
  const full = Math.max(unit.initial ?? 0, unit.count ?? 0, 1);
  const share = Math.max(0, Math.min(1, (unit.count ?? 0) / full));
  const tone = unit.replenishmentStatus === "empty" || unit.count === 0 ? "bad" : unit.replenishmentStatus === "low" || share < 0.1 ? "attention" : "good";
  return html`<svg class="level" data-tone=${tone} viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">
    <rect class="level-room" width="100" height="10" rx="2"/><rect class="level-full" width=${Math.round(share * 100)} height="10" rx="2"/>
  </svg>`;
}

export function levels(units) {
  if (!units.length) return html`<span class="soft">–</span>`;
  const words = units.map((unit) => `${money(unit.minor, unit.currency)}: ${number(unit.count)}`).join(", ");
  return html`<span class="levels" role="img" aria-label=${words} title=${words}>${units.map(level)}</span>`;
}

// Bars by the hour; `parts` are stacked: [{key, tone}]. The label tells the whole in words.
export function bars(rows, parts, label, hours) {
  const last = Math.max(...rows.map((row) => row.hour), Math.floor(Date.now() / 3_600_000));
  const by = new Map(rows.map((row) => [row.hour, row]));
  const top = Math.max(1, ...rows.map((row) => parts.reduce((sum, part) => sum + (row[part.key] ?? 0), 0)));
  const wide = 100 / hours;
  const drawn = Array.from({ length: hours }, (_, index) => {
    const row = by.get(last - hours + 1 + index);
    let base = 40;
    return parts.map((part) => {
      const high = (40 * ((row ?? {})[part.key] ?? 0)) / top;
      base -= high;
      return high ? svg`<rect class="bar" data-tone=${part.tone} x=${index * wide + 0.15} y=${base} width=${wide - 0.3} height=${high}/>` : nothing;
    });
  });
  return html`<figure class="chart"><figcaption>${label}<span class="soft">${t("chart.top", { top: number(top) })}</span></figcaption>
    <svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label=${label}><path class="axis" d="M0 39.9H100"/>${drawn}</svg>
  </figure>`;
}

export function empty(text) {
  return html`<p class="empty">${text}</p>`;
}

// A scrolling region can be reached by keyboard.
export function table(label, head, rows, extra = "") {
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${label}>
    <table class=${extra}><thead><tr>${head.map((one) => html`<th scope="col" class=${one === t("column.do") ? "do" : nothing}>${one}</th>`)}</tr></thead><tbody>${rows}</tbody></table>
  </div>`;
}

export function sentence(error) {
  if (!(error instanceof Refused)) return t("error.network");
  const key = `error.${error.code}`;
  return t(key) === key ? error.message : t(key);
}

export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

// The one dialog: a form with fields and a button that does something; stays open, with the sentence, when that is refused.
export function ask({ title, body, confirm, danger = false, doIt }) {
  const dialog = document.getElementById("dialog");
  const draw = (fault, busy) =>
    render(
      html`<form method="dialog" @submit=${submit}>
        <h2 id="dialog-title">${title}</h2>
        ${body}
        ${fault ? html`<p class="fault" role="alert">${fault}</p>` : nothing}
        <div class="dialog-foot">
          <button type="button" @click=${() => dialog.close()}>${t("cancel")}</button>
          <button type="submit" class=${danger ? "danger" : "primary"} ?disabled=${busy}>${confirm}</button>
        </div>
      </form>`,
      dialog,
    );
  async function submit(event) {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(event.target));
    draw("", true);
    try {
      await doIt(values);
      dialog.close();
    } catch (error) {
      draw(sentence(error), false);
    }
  }
  render(nothing, dialog);
  draw("", false);
  dialog.showModal();
}
