// The bench's page: shows what the simulators say of themselves, and does what a person's hand would do.
// The keys of the PIN pad go to the pad's own door on this machine, never to the bench's server.
import { html, render } from "/static/vendor/lit.js";
import { fascia } from "/static/fascia.js";
import { panels } from "/static/panels.js";

const LOG_SHOWN = 120;
const bench = { state: {}, cast: [], log: [], kioskUrl: "" };
const linkSign = document.getElementById("link");
const toast = document.getElementById("toast");
let socket = null;
let pause = 250;
let count = 0;
let toastTimer = 0;

function connect() {
  socket = new WebSocket(`ws://${location.host}/desk`);
  socket.onopen = () => {
    pause = 250;
    bench.log = [];
    sign("connected", false);
  };
  socket.onmessage = (event) => receive(JSON.parse(event.data));
  socket.onclose = () => {
    sign("no connection to the bench", true);
    setTimeout(connect, pause);
    pause = Math.min(pause * 2, 4000);
  };
}

function sign(text, lost) {
  linkSign.textContent = text;
  linkSign.className = lost ? "lost" : "";
}

function receive(message) {
  if (message.cast) {
    bench.cast = message.cast;
    showKiosk(message.kiosk_url);
  }
  if (message.state) bench.state = message.state;
  if (message.log) bench.log = [...message.log.reverse(), ...bench.log].slice(0, LOG_SHOWN);
  if (message.answer?.error) complain(message.answer.error);
  draw();
}

function complain(text) {
  toast.textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (toast.textContent = ""), 6000);
}

const hand = {
  do(device, verb, args = {}) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ number: ++count, device, verb, arguments: args }));
  },
  // One key after the other: the pad's answer (204) says that the contact closed.
  async press(...keys) {
    const port = bench.state.pinpad?.http_port;
    for (const key of keys) {
      try {
        const answer = await fetch(`http://127.0.0.1:${port}/press`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ key }),
        });
        if (!answer.ok) return complain(`the PIN pad refused a key (${answer.status})`);
      } catch {
        return complain("the PIN pad does not answer");
      }
    }
  },
};

function draw() {
  render(fascia(bench, hand), document.getElementById("fascia"));
  render(panels(bench, hand), document.getElementById("panels"));
}

// --- the kiosk's page in its frame, in its real size and scaled

const frame = document.getElementById("kiosk");
const panel = document.getElementById("panel");

function showKiosk(url) {
  if (url === bench.kioskUrl) return;
  bench.kioskUrl = url;
  frame.src = url;
  document.getElementById("alone").href = url;
}

function fit() {
  const [width, height] = panel.value.split(" x ").map(Number);
  const space = document.getElementById("screen");
  const scale = Math.min(space.clientWidth / width, space.clientHeight / height);
  frame.width = width;
  frame.height = height;
  frame.style.transform = `scale(${scale})`;
  frame.style.left = `${(space.clientWidth - width * scale) / 2}px`;
  frame.style.top = `${(space.clientHeight - height * scale) / 2}px`;
}

panel.addEventListener("change", fit);
addEventListener("resize", fit);
fit();
connect();
