// What a terminal said and did: events, journal entries that a command brought, messages that are missing.
import { html, nothing } from "/static/vendor/lit.js";
import { post } from "/static/api.js";
import { ago, code, detail, moment, money, number, reasonOf, t } from "/static/texts.js";
import { ask, table } from "/static/parts.js";

// The short form of an event; what has no short form is shown as it is.
function short(one) {
  const { data } = one;
  if (one.type === "DeviceStatusChanged") return `${code("device", data.device)}: ${code("status", data.to?.device)} ${data.to?.detail ? detail(data.to.detail) : ""}`;
  if (one.type === "CashUnitChanged") return `${t("unit", { unit: data.unit })} ${money(data.minor, data.currency)}: ${number(data.count)}`;
  if (one.type === "ATMExceptionAdvice") return `${code("alarm", data.alarm)} ${data.device ? code("device", data.device) : ""} – ${code("alarmState", data.state)}`;
  if (one.type === "ATMDeviceControlResult") return `${code("command", data.command)}: ${code("said", data.state)} ${data.reason ? reasonOf(data.reason) : ""}`;
  if (one.type === "ATMWithdrawalCompletionAdvice") {
    const paid = data.presentedAmount ? money(data.presentedAmount.minor, data.presentedAmount.currency) : "?";
    return `${data.transactionId}: ${code("transaction", data.transactionStatus)} ${paid} ${data.failureReason ? code("failure", data.failureReason) : ""}`;
  }
  if (one.type === "GlobalStatusChanged") return `${code("service", data.globalStatus)} ${(data.reasons ?? []).map((reason) => code("why", reason)).join(", ")}`;
  if (one.type === "SecurityEvent") return `${code("security", data.event)} ${data.command ? code("command", data.command) : ""} ${code("reason", data.reason)}`;
  if (one.type === "ATMFaceConsentAdvice") return `${data.transactionId}: ${code("consent", data.consent)}`;
  if (one.type === "ATMFaceVerificationAdvice") return `${data.transactionId}: ${code("facePurpose", data.purpose)}, ${code("faceDecision", data.decision)}`;
  const text = JSON.stringify(data);
  return text.length > 160 ? `${text.slice(0, 160)}…` : text;
}

export function eventRows(events) {
  return events.map(
    (one) => html`<tr><td><time title=${moment(one.receivedAt, { seconds: true })}>${moment(one.at, { seconds: true })}</time></td>
      <th scope="row">${code("event", one.type)}${one.unread ? html`<small class="bad">${t(`refusal.${one.unread}`)}</small>` : nothing}</th>
      <td class="what">${short(one)}</td><td class="soft">${code("class", one.class)} ${one.epoch}/${one.seq}</td></tr>`,
  );
}

// Entries of the newest journalRange result.
export function journalPart(commands) {
  const brought = commands.find((one) => one.command === "journalRange" && Array.isArray(one.resultData?.entries) && one.resultData.entries.length);
  if (!brought) return nothing;
  const rows = [...brought.resultData.entries].reverse().map(
    (one) => html`<tr><td>${typeof one.at === "string" ? moment(Date.parse(one.at), { seconds: true }) : "–"}</td><th scope="row">${String(one.kind ?? "")}</th>
      <td class="what">${one.transactionId ? `${one.transactionId} ` : ""}${one.data ? JSON.stringify(one.data).slice(0, 200) : "–"}</td><td class="soft">${String(one.seq ?? "")}</td></tr>`,
  );
  return html`<section class="panel" aria-labelledby="journal"><h2 id="journal">${t("journal")} <span class="soft">${t("journal.of", { at: moment(brought.stateAt) })}</span></h2>
    ${table(t("journal"), ["at", "event", "what", "number"].map((name) => t(`column.${name}`)), rows, "tail")}</section>`;
}

const SOON_MS = 120_000; // what overtook may still be overtaken

export function missingPart(all, session, reload) {
  const now = Date.now();
  const gaps = all.filter((one) => now - one.since > SOON_MS);
  if (!gaps.length) return nothing;
  return html`<section class="panel missing" aria-labelledby="missing"><h2 id="missing">${t("missing")}</h2><ul>${gaps.map(
    (one) => html`<li>${t("missing.one", { class: code("class", one.class), from: number(one.from), to: number(one.to), since: ago(one.since, now) })}
      ${session.role === "supervisor" ? html`<button type="button" @click=${() => accept(one, reload)}>${t("missing.accept")}</button>` : nothing}</li>`,
  )}</ul></section>`;
}

function accept(gap, reload) {
  ask({
    title: t("missing.accept"),
    body: html`<p>${t("missing.warning", { from: number(gap.from), to: number(gap.to) })}</p>`,
    confirm: t("missing.accept"),
    danger: true,
    doIt: async () => {
      await post("gaps/accept", { terminal: gap.terminal, class: gap.class, epoch: gap.epoch });
      await reload();
    },
  });
}
