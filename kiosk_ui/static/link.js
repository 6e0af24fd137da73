// The WebSocket to the server: opens again by itself, with growing pauses, and notices a server that no longer answers.
const ALIVE_EVERY_MS = 2000;
const SILENT_AFTER_MS = 5000;
const PAUSE_FIRST_MS = 250;
const PAUSE_LONGEST_MS = 5000;

export function openLink(address, { onMessage, onLink }) {
  let socket = null;
  let pause = PAUSE_FIRST_MS;
  let heard = 0;
  let count = 0;

  function open() {
    const fresh = new WebSocket(address);
    socket = fresh;
    heard = performance.now();
    fresh.onopen = () => {
      if (fresh !== socket) return;
      pause = PAUSE_FIRST_MS;
      heard = performance.now();
      onLink(true);
    };
    fresh.onmessage = (event) => {
      if (fresh !== socket) return;
      heard = performance.now();
      onMessage(JSON.parse(event.data));
    };
    fresh.onclose = () => {
      if (fresh === socket) lose();
    };
  }

  function lose() {
    const old = socket;
    socket = null;
    old?.close();
    onLink(false);
    setTimeout(open, pause);
    pause = Math.min(pause * 2, PAUSE_LONGEST_MS);
  }

  setInterval(() => {
    if (socket === null) return;
    if (performance.now() - heard > SILENT_AFTER_MS) lose();
    else if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ alive: ++count }));
  }, ALIVE_EVERY_MS);

  open();
  return {
    send(message) {
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    },
  };
}
