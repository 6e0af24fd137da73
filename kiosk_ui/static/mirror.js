// What the camera sees, as in a mirror, with an oval to stand in, the steps that are done, and an arrow for a turn of the head.
// The picture comes, mirrored already, over a WebSocket of its own, is drawn, and is kept nowhere. When none comes, a neutral head stands in its place.
const SVG = "http://www.w3.org/2000/svg";
const SILENT_AFTER_MS = 1500;
const AGAIN_AFTER_MS = 500;
const RING = "M200 22A97 128 0 1 1 199.9 22z"; // clockwise from the top, a little outside of the oval
const GAP = 0.03; // of the ring, between two steps

function shape(kind, attributes) {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

function guide() {
  const svg = shape("svg", { class: "mirror-guide", viewBox: "0 0 400 300", preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true", focusable: "false" });
  const nobody = shape("g", { class: "mirror-nobody" });
  nobody.append(
    shape("path", { d: "M96 300c6-54 48-76 104-76s98 22 104 76z" }),
    shape("path", { d: "M150 128c0-40 20-66 50-66s50 26 50 66c0 44-22 82-50 82s-50-38-50-82z" }),
  );
  const shade = shape("path", { class: "mirror-shade", "fill-rule": "evenodd", d: "M-200-200h800v700h-800zM200 34a88 116 0 1 0 .1 0z" });
  const oval = shape("ellipse", { class: "mirror-oval", cx: 200, cy: 150, rx: 88, ry: 116 });
  const ring = shape("g", { class: "mirror-ring" });
  const left = shape("g", { class: "mirror-arrow left" });
  left.append(shape("circle", { cx: 56, cy: 150, r: 42 }), shape("path", { d: "M80 150H34M54 128l-22 22 22 22" }));
  const right = shape("g", { class: "mirror-arrow right" });
  right.append(shape("circle", { cx: 344, cy: 150, r: 42 }), shape("path", { d: "M320 150h46M346 128l22 22-22 22" }));
  svg.append(nobody, shade, oval, ring, left, right);
  return { svg, ring };
}

function steps(ring, done, of) {
  const arcs = Array.from({ length: of }, (_, number) =>
    shape("path", {
      class: number < done ? "step done" : "step",
      d: RING,
      pathLength: of,
      "stroke-dasharray": `${1 - GAP * of} ${of - 1 + GAP * of}`,
      "stroke-dashoffset": -(number + (GAP * of) / 2),
    }),
  );
  ring.replaceChildren(...arcs);
}

export function createMirror(address) {
  const node = document.createElement("div");
  node.className = "mirror";
  const picture = document.createElement("div");
  picture.setAttribute("role", "img");
  picture.className = "mirror-picture";
  const canvas = document.createElement("canvas");
  const bar = document.createElement("div");
  bar.className = "mirror-steps";
  bar.setAttribute("aria-labelledby", "title");
  const { svg, ring } = guide();
  picture.append(canvas);
  node.append(picture, svg, bar);

  let socket = null;
  let wanted = false;
  let newest = null;
  let drawing = false;
  let silence = 0;

  function dark() {
    newest = null;
    delete node.dataset.lit;
    canvas.width = canvas.height = 0; // the pixels go, too
  }

  async function draw() {
    if (drawing) return;
    drawing = true;
    while (newest !== null) {
      const data = newest;
      newest = null;
      let bitmap;
      try {
        bitmap = await createImageBitmap(data);
      } catch {
        continue; // half a picture: the next one comes at once
      }
      if (wanted && socket !== null) {
        canvas.width = bitmap.width;
        canvas.height = bitmap.height;
        canvas.getContext("2d").drawImage(bitmap, 0, 0);
        node.dataset.lit = "";
      }
      bitmap.close();
    }
    drawing = false;
  }

  function open() {
    if (!wanted || socket !== null) return;
    const fresh = new WebSocket(address);
    socket = fresh;
    fresh.onmessage = (event) => {
      if (fresh !== socket) return;
      clearTimeout(silence);
      if (typeof event.data === "string") return dark();
      newest = event.data;
      silence = setTimeout(dark, SILENT_AFTER_MS);
      draw();
    };
    fresh.onclose = () => {
      if (fresh !== socket) return;
      socket = null;
      dark();
      setTimeout(open, AGAIN_AFTER_MS);
    };
  }

  function close() {
    const old = socket;
    socket = null;
    old?.close();
    clearTimeout(silence);
    dark();
  }

  return {
    node,
    show(mirror) {
      wanted = mirror !== null;
      if (!wanted) return close();
      picture.setAttribute("aria-label", mirror.label);
      node.dataset.arrow = mirror.arrow ?? "";
      steps(ring, mirror.done, mirror.of);
      if (mirror.of > 0) {
        bar.setAttribute("role", "progressbar");
        bar.setAttribute("aria-valuemin", "0");
        bar.setAttribute("aria-valuemax", String(mirror.of));
        bar.setAttribute("aria-valuenow", String(mirror.done));
        bar.setAttribute("aria-valuetext", `${mirror.done} / ${mirror.of}`);
      } else bar.removeAttribute("role");
      bar.hidden = mirror.of === 0;
      bar.textContent = mirror.of > 0 ? `${mirror.done} / ${mirror.of}` : "";
      open();
    },
  };
}
