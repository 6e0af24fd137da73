// The operations centre's pages: who is signed in, which page is shown, and when there is something new.
import { html, nothing, render } from "/static/vendor/lit.js";
import { get, post, remove, useSession } from "/static/api.js";
import { lang, speak, t } from "/static/texts.js";
import { announce, sentence, shape } from "/static/parts.js";
import { overviewPage } from "/static/pages/overview.js";
import { terminalPage } from "/static/pages/terminal.js";
import { alarmsPage } from "/static/pages/alarms.js";
import { commandsPage } from "/static/pages/commands.js";
import { auditPage } from "/static/pages/audit.js";

const PAGES = { overview: overviewPage, terminal: terminalPage, alarms: alarmsPage, commands: commandsPage, audit: auditPage };
const TABS = ["overview", "alarms", "commands", "audit"];
const NOT_OFTENER_MS = 1500;
const TICK_MS = 20_000;
const app = document.getElementById("app");

let session = null;
let page = null; // {name, view, load}
let stream = null;
let live = "connecting";
let health = null;
let fault = "";
let refused = ""; // why what a button last asked for was not done
let waiting = 0;
let loadedAt = 0;

async function start() {
  await speak(localStorage.getItem("language") ?? "zh");
  try {
    await enter(await get("session"));
  } catch {
    signedOut();
  }
}

async function enter(found) {
  session = found;
  useSession(session, signedOut);
  await speak(localStorage.getItem("language") ?? session.language, session.timeZone);
  openStream();
  await go();
}

function signedOut() {
  session = null;
  page = null;
  refused = "";
  stream?.close();
  stream = null;
  useSession(null, signedOut);
  document.getElementById("dialog").close();
  draw();
}

function openStream() {
  stream?.close();
  stream = new EventSource("/api/v1/live");
  stream.onmessage = (event) => {
    live = "on";
    health = JSON.parse(event.data).health;
    refresh();
  };
  stream.addEventListener("over", signedOut);
  stream.onerror = () => {
    live = "off";
    draw();
  };
}

// Something is new: the page asks for what it shows, not oftener than every second and a half, and not while hidden.
function refresh() {
  if (waiting || page === null) return;
  waiting = setTimeout(async () => {
    waiting = 0;
    if (!document.hidden) await load(true);
  }, Math.max(0, loadedAt + NOT_OFTENER_MS - Date.now()));
}

async function load(background) {
  const asked = page;
  loadedAt = Date.now();
  try {
    await asked.load(background);
    fault = "";
  } catch (error) {
    if (session === null) return;
    fault = sentence(error);
  }
  if (asked === page) draw();
}

// What a button does without a dialog. A refusal stays on the page until the next button or page.
async function act(doIt) {
  refused = "";
  try {
    await doIt();
  } catch (error) {
    if (session === null) return;
    refused = sentence(error);
  }
  draw();
}

async function go() {
  refused = "";
  const [name, argument] = location.hash.replace(/^#\//, "").split("/");
  const make = PAGES[name] ?? overviewPage;
  page = { name: name in PAGES ? name : "overview", ...make({ session, redraw: draw, reload: () => load(false), act, argument: decodeURIComponent(argument ?? "") }) };
  await load(false);
  scrollTo(0, 0);
  document.querySelector("main h1")?.focus({ preventScroll: true });
}

async function switchLanguage() {
  localStorage.setItem("language", lang === "zh" ? "en" : "zh");
  await speak(localStorage.getItem("language"), session?.timeZone);
  draw();
}

const languageButton = () =>
  html`<button type="button" class="quiet" lang=${lang === "zh" ? "en" : "zh-CN"} @click=${switchLanguage}>${lang === "zh" ? "English" : "中文"}</button>`;

function top() {
  return html`<header class="top">
    <a class="home" href="#/overview"><img src="/static/mark.svg" alt="" width="34" height="34"><span>${t("title")}</span></a>
    ${session.demoBadge ? html`<span class="demo">${session.demoBadge}</span>` : nothing}
    <nav aria-label=${t("nav")}>${TABS.map((name) => html`<a href="#/${name}" aria-current=${page?.name === name ? "page" : nothing}>${t(`page.${name}`)}</a>`)}</nav>
    <div class="who">
      <span class="live" data-live=${live}><i aria-hidden="true"></i>${t(`live.${live}`)}</span>
      ${languageButton()}
      <span class="person">${session.name}<small>${t(`role.${session.role}`)}</small></span>
      <button type="button" class="quiet" @click=${leave}>${t("signOut")}</button>
    </div>
  </header>`;
}

async function leave() {
  await remove("session").catch(() => {});
  signedOut();
}

function warnings() {
  const found = [];
  if (refused) found.push(refused);
  if (fault) found.push(fault);
  if (live === "off") found.push(t("live.lost"));
  if (health && health.database !== "ok") found.push(t("health.database"));
  if (health && health.broker !== "ok") found.push(t("health.broker"));
  if (health && health.ingest === "deaf") found.push(t("health.deaf"));
  return found.length ? html`<div class="warnings" role="alert">${found.map((one) => html`<p>${shape("attention")}${one}</p>`)}</div>` : nothing;
}

function signInPage() {
  return html`<main class="sign-in">
    <form @submit=${signIn}>
      <img src="/static/mark.svg" alt="" width="56" height="56">
      <h1 tabindex="-1">${t("title")}</h1>
      <label>${t("name")}<input name="name" autocomplete="username" autocapitalize="none" spellcheck="false" required maxlength="32"></label>
      <label>${t("password")}<input name="password" type="password" autocomplete="current-password" required maxlength="256"></label>
      ${fault ? html`<p class="fault" role="alert">${fault}</p>` : nothing}
      <button type="submit" class="primary">${t("signIn")}</button>
      ${languageButton()}
    </form>
  </main>`;
}

async function signIn(event) {
  event.preventDefault();
  const form = new FormData(event.target);
  try {
    fault = "";
    await enter(await post("session", { name: form.get("name").trim().toLowerCase(), password: form.get("password") }));
  } catch (error) {
    fault = sentence(error);
    draw();
    announce(fault);
  }
}

function draw() {
  document.title = session && page ? `${t(`page.${page.name}`)} – ${t("title")}` : t("title");
  render(session === null ? signInPage() : html`${top()}${warnings()}<main class=${`page-${page?.name}`}>${page ? page.view() : nothing}</main>`, app);
}

addEventListener("hashchange", () => session && go());
document.addEventListener("visibilitychange", () => !document.hidden && session && refresh());
setInterval(() => session && draw(), TICK_MS); // ages grow
start();
