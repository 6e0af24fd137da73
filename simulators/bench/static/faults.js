// What can be made to go wrong, device by device: [words, verb, arguments, whether it is so now].
import { html, nothing } from "/static/vendor/lit.js";

const FAULTS = {
  dispenser: [
    ["double note", "double_note", {}],
    ["jam at gate", "jam", { where: "dvt" }, (d) => d.jam?.where === "dvt"],
    ["jam at exit", "jam", { where: "exit", after_notes: 1 }, (d) => d.jam?.where === "exit"],
    ["clear jam", "clear_jam", {}],
    ["answer lost", "fault", { kind: "drop_reply" }, armed("drop_reply")],
    ["bad checksum", "fault", { kind: "corrupt_reply" }, armed("corrupt_reply")],
    ["answer late", "fault", { kind: "delay_reply", seconds: 8 }, armed("delay_reply")],
    ["cut power after 1 note", "power", { cut_after_notes: 1, at: "exit" }],
    ["power off", "power", { to: "off" }, (d) => d.power === "off"],
    ["power on", "power", { to: "on" }],
    ["clear faults", "fault", { kind: "clear" }],
  ],
  card: [
    ["silent once", "mute", { apdus: "next" }, (d) => d.mute === "next"],
    ["silent", "mute", { apdus: "all" }, (d) => d.mute === "all"],
    ["slow 2 s", "slow", { seconds: 2 }, (d) => d.slow_s > 0],
    ["pull at 2nd GENERATE AC", "pull_after", { ins: "AE" }],
    ["pull after 5 commands", "pull_after", { apdus: 5 }],
    ["clear faults", "clear_faults", {}],
  ],
  pinpad: [
    ["silent", "fault", { name: "silent", value: true }, (d) => Boolean(d.faults?.silent)],
    ["not silent", "fault", { name: "silent", value: false }],
    ["answer lost", "fault", { name: "drop_reply", value: 1 }, (d) => Boolean(d.faults?.drop_reply)],
    ["tamper", "tamper", {}, (d) => d.tampered],
    ["repair", "repair", {}],
    ["power off", "power", { on: false }, (d) => !d.power],
    ["power on", "power", { on: true }],
  ],
  printer: [
    ["paper low", "paper", { level: "low" }, (d) => d.paper === "low"],
    ["paper out", "paper", { level: "out" }, (d) => d.paper === "out"],
    ["new roll", "paper", { level: "full" }],
    ["open cover", "cover", { open: true }, (d) => d.cover_open],
    ["close cover", "cover", { open: false }],
    ["cutter jam", "cutter_error", { on: true }, (d) => d.cutter_error],
    ["free cutter", "cutter_error", { on: false }],
    ["silent", "fault", { kind: "silent" }, (d) => d.fault === "silent"],
    ["clear fault", "fault", { kind: "none" }],
  ],
  bank: [
    ["down", "fault", { kind: "down" }, (d) => d.faults.down],
    ["up", "fault", { kind: "up" }],
    ["slow 5 s", "fault", { kind: "slow", seconds: 5 }, (d) => d.faults.slow_s > 0],
    ["one answer lost", "fault", { kind: "silent", n: 1 }, (d) => d.faults.silent > 0],
    ["answer twice", "fault", { kind: "duplicate_responses", n: 1 }, (d) => d.faults.duplicate_responses > 0],
    ["no acknowledgement", "fault", { kind: "ack_silent", n: 5 }, (d) => d.faults.ack_silent > 0],
    ["decline next", "fault", { kind: "decline_next", reason: "limitExceeded" }, (d) => d.faults.decline_next.length > 0],
    ["capture next card", "fault", { kind: "decline_next", reason: "cardBlocked", actions: ["CPTR"] }],
    ["clear faults", "fault", { kind: "clear" }],
  ],
};

function armed(kind) {
  return (device) => device.faults?.some((one) => one.kind === kind);
}

export function faults(state, hand) {
  return html`<section class="panel wide" aria-label="Faults">
    <h2>Faults <small lang="zh-CN">故障</small></h2>
    <div class="faults">${Object.entries(FAULTS).map(([device, list]) => html`<div>
      <h3>${device}</h3>
      <span class="row">${list.map(([words, verb, args, now]) => {
        const on = state[device] && now ? Boolean(now(state[device])) : false;
        return html`<button class=${on ? "on" : ""} aria-pressed=${now ? on : nothing} ?disabled=${!state[device]} @click=${() => hand.do(device, verb, args)}>${words}</button>`;
      })}</span></div>`)}</div>
  </section>`;
}
