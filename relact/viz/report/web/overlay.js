// The boxes, names and actions over the picture.
const overlay = { canvas: $("overlay"), time: 0, drawn: [], slots: new Map() };

/** The part of the video element that the picture fills: [left, top, width, height]. */
function pictureRect() {
  const { video } = player;
  const [w, h] = [video.videoWidth || film.width, video.videoHeight || film.height];
  const [boxWidth, boxHeight] = [video.clientWidth, video.clientHeight];
  const scale = Math.min(boxWidth / w, boxHeight / h);
  const [width, height] = [w * scale, h * scale];
  return [video.offsetLeft + (boxWidth - width) / 2, video.offsetTop + (boxHeight - height) / 2, width, height];
}

function drawOverlay() {
  const [left, upper, width, height] = pictureRect();
  const { canvas } = overlay;
  const context = fit(canvas, width, height);
  canvas.style.left = `${left}px`;
  canvas.style.top = `${upper}px`;
  context.clearRect(0, 0, width, height);
  const time = pictureTime();
  Object.assign(overlay, { time, drawn: [] });
  if (!view.boxes) return;
  const size = Math.max(10, Math.min(14, Math.round(width / 56)));
  context.font = font(600, size);
  context.textBaseline = "middle";
  const taken = [];
  for (const person of truthAt(time)) drawTruth(context, person, width, height, size, taken);
  const people = peopleAt(time);
  for (const person of people) overlay.drawn.push(drawBox(context, person, width, height));
  drawPlates(context, people, width, height, size, taken).forEach((rect, k) => {
    overlay.drawn[overlay.drawn.length - people.length + k].plate = rect;
  });
}

const pixels = (box, width, height) => [box[0] * width, box[1] * height, box[2] * width, box[3] * height];

function drawBox(context, person, width, height) {
  const [x1, y1, x2, y2] = pixels(person.box, width, height);
  const asked = view.text !== "" || view.hidden.size > 0;
  context.globalAlpha = asked && person.actions.length === 0 ? 0.35 : 1;
  context.lineJoin = "round";
  for (const [colour, thick] of [["rgba(8, 10, 14, 0.55)", 4.5], [owners[person.owner].colour, 2.2]]) {
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  }
  context.globalAlpha = 1;
  const lines = person.actions.slice(0, most(width)).map(([label, score]) => [labels[label].short, score]);
  return { kind: "found", name: owners[person.owner].name, box: person.box, lines };
}

function drawPlate(context, person, plate, x, y, variant) {
  const owner = owners[person.owner];
  const lines = plate.lines.slice(0, plate.lines.length - variant);
  const [w, h] = plate.sizes[variant];
  const { chip, pad, row } = plate;
  context.save();
  context.beginPath();
  context.roundRect(x, y, w, h, 5);
  context.clip();
  context.fillStyle = "rgba(12, 15, 20, 0.8)";
  context.fillRect(x, y, w, h);
  context.fillStyle = owner.colour;
  context.fillRect(x, y, chip, h);
  context.fillStyle = inkOn(owner.colour);
  context.textAlign = "center";
  context.fillText(String(owner.id), x + chip / 2, y + h / 2 + 0.5);
  lines.forEach((line, k) => {
    const middle = y + row * (k + 0.5) + 0.5;
    context.globalAlpha = 0.42;
    context.fillStyle = tintDark(line.label);
    context.fillRect(x + chip + 1, y + row * k + 1, (w - chip - 2) * line.score, row - 2);
    context.globalAlpha = 1;
    context.fillStyle = "#fff";
    context.textAlign = "left";
    context.fillText(line.name, x + chip + pad, middle);
    context.textAlign = "right";
    context.fillText(line.text, x + w - pad, middle);
  });
  context.restore();
}

/** A thin line from a plate that had to stand away to its box. */
function drawLeader(context, box, [x1, y1, x2, y2], colour) {
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const to = [clamp((x1 + x2) / 2, box[0], box[2]), clamp((y1 + y2) / 2, box[1], box[3])];
  const from = [clamp(to[0], x1, x2), clamp(to[1], y1, y2)];
  if (Math.hypot(to[0] - from[0], to[1] - from[1]) < 2 * AWAY + 2) return;
  for (const [style, thick] of [["rgba(8, 10, 14, 0.55)", 3.5], [colour, 1.6]]) {
    context.strokeStyle = style;
    context.lineWidth = thick;
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
  }
}

/** Everyone's plate: measured, placed one after another, and drawn over all boxes. */
function drawPlates(context, people, width, height, size, taken) {
  const boxes = people.map((person) => pixels(person.box, width, height));
  const plates = people.map((person) => plateOf(context, person, size, width));
  const room = { width, height, taken, boxes };
  const places = people.map((person, k) => placePlate(k, plates[k].sizes, room, overlay.slots.get(person.owner)));
  overlay.slots = new Map(people.map((person, k) => [person.owner, places[k]]));
  people.forEach((person, k) => drawLeader(context, boxes[k], places[k].rect, owners[person.owner].colour));
  people.forEach((person, k) => {
    const { rect, variant } = places[k];
    drawPlate(context, person, plates[k], rect[0], rect[1], variant);
  });
  return places.map(({ rect }) => rect);
}

const ON_PICTURE = { pose: "#6ea3ff", object: "#f5a83f", person: "#f27bc3" };
const tintDark = (label) => ON_PICTURE[labels[label].group] ?? "#48cbb9";

/** Black or white, whichever reads better on a colour. */
function inkOn(colour) {
  const [r, g, b] = [1, 3, 5].map((k) => {
    const part = parseInt(colour.slice(k, k + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

function drawTruth(context, person, width, height, size, taken) {
  const [x1, y1, x2, y2] = pixels(person.box, width, height);
  context.save();
  for (const [colour, thick, dash] of [["rgba(8, 10, 14, 0.6)", 4, []], [person.missed ? "#ff6a70" : "#fff", 2, [7, 5]]]) {
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.setLineDash(dash);
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  }
  context.setLineDash([]);
  const told = person.actions.map(([label, score]) => ({
    name: labels[label].short,
    missed: person.missed || score < Math.max(view.least, 1 / SCORE),
  }));
  const text = cut(context, told.map(({ name, missed }) => (missed ? `✕ ${name}` : `✓ ${name}`)).join("  "), width * 0.5);
  const row = Math.round(size * 1.5);
  const w = context.measureText(text).width + size;
  const room = { width, height, taken, boxes: [[x1, y1, x2, y2]] };
  const [x, y] = placePlate(0, [[w, row]], room, { slot: BELOW, variant: 0 }).rect;
  context.fillStyle = "rgba(12, 15, 20, 0.8)";
  context.beginPath();
  context.roundRect(x, y, w, row, 5);
  context.fill();
  context.textAlign = "left";
  context.fillStyle = told.some(({ missed }) => missed) ? "#ffb3b6" : "#d5f5dd";
  context.fillText(text, x + size / 2, y + row / 2 + 0.5);
  context.restore();
  overlay.drawn.push({ kind: person.missed ? "missed" : "truth", name: person.name, box: person.box, lines: told });
}
