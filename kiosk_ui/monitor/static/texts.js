// All words of the pages, keyed, by language; numbers, money, dates and ages by Intl in the bank's time zone.
const LANGUAGES = { zh: "zh-CN", en: "en-GB" };

let words = {};
let locale = LANGUAGES.zh;
let zone = "Asia/Shanghai";
export let lang = "zh";

export async function speak(language, timeZone) {
  lang = language in LANGUAGES ? language : "zh";
  locale = LANGUAGES[lang];
  zone = timeZone || zone;
  words = await (await fetch(`/static/texts/${lang}.json`)).json();
  document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
}

export function known(key) {
  return key in words;
}

// The text of a key, with {names} filled in; the key itself when there is none.
export function t(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// A code of the messages: its word, or the code as it is.
export function code(kind, value) {
  if (value === null || value === undefined || value === "") return t("unknown");
  return known(`${kind}.${value}`) ? t(`${kind}.${value}`) : String(value);
}

// What a device says of itself, as "tampered" or "nearEnd3,nearEnd4". Where a number is part of the code, the text has it as {n}.
export function detail(value) {
  return String(value ?? "").split(",").map(oneDetail).join(lang === "zh" ? "，" : ", ");
}

function oneDetail(value) {
  const [, stem, n] = /^([a-z][A-Za-z]*?)([0-9A-F][0-9A-Fa-f]?)$/.exec(value) ?? [];
  return known(`detail.${value}`) || !known(`detail.${stem}#`) ? code("detail", value) : t(`detail.${stem}#`, { n: n.toUpperCase() });
}

// Why a command ended as it did: the terminal's reason, or what the device said.
export function reasonOf(value) {
  return known(`reason.${value}`) ? t(`reason.${value}`) : detail(value);
}

// Why a terminal is graded as it is: a word of its own, or "device: status".
export function why(value) {
  if (known(`why.${value}`)) return t(`why.${value}`);
  const [device, status] = value.split(".");
  return status === undefined ? code("device", device) : `${code("device", device)} ${code("status", status)}`;
}

export function number(value) {
  return value === null || value === undefined ? "–" : new Intl.NumberFormat(locale).format(value);
}

export function money(minor, currency) {
  if (minor === null || minor === undefined) return "–";
  return new Intl.NumberFormat(locale, { style: "currency", currency: currency || "CNY", minimumFractionDigits: minor % 100 ? 2 : 0 }).format(minor / 100);
}

export function moment(ms, { seconds = false } = {}) {
  if (!ms) return "–";
  const form = { timeZone: zone, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false };
  return new Intl.DateTimeFormat(locale, seconds ? { ...form, second: "2-digit" } : form).format(ms);
}

export function whole(ms) {
  return ms ? new Intl.DateTimeFormat(locale, { timeZone: zone, dateStyle: "medium", timeStyle: "medium", hour12: false }).format(ms) : "–";
}

export function hourOf(ms) {
  return new Intl.DateTimeFormat(locale, { timeZone: zone, hour: "2-digit", hour12: false }).format(ms);
}

const STEPS = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000]];

// How long ago, or until: one unit, rounded down, never zero.
export function span(ms) {
  const size = Math.abs(ms);
  const [unit, length] = STEPS.find(([, each]) => size >= each) ?? ["second", 1000];
  return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).format(Math.max(1, Math.floor(size / length)));
}

export function ago(ms, now) {
  return ms ? t("ago", { span: span(now - ms) }) : t("never");
}

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  return new Intl.NumberFormat(locale, { style: "unit", unit: "gigabyte", maximumFractionDigits: 1 }).format(bytes / 1e9);
}
