// The plates with names and actions: what stands on them, and where they stand so that all can be read.
/** How many actions a plate has room for. */
const most = (width) => (width < 520 ? 1 : 3);
const AWAY = 3; // pixels between a plate and its box
/** Beside a box: x = x1 + fx · its width − px · the plate's + gx gaps, y alike; and what the slot costs. */
const SLOTS = [
  [0, 0, 0, 0, 1, -1, 0], [0.5, 0.5, 0, 0, 1, -1, 0.05], [1, 1, 0, 0, 1, -1, 0.05], // above
  [0, 0, 0, 1, 0, 1, 0.15], [0.5, 0.5, 0, 1, 0, 1, 0.15], [1, 1, 0, 1, 0, 1, 0.15], // below
  [1, 0, 1, 0, 0, 0, 0.2], [1, 0, 1, 1, 1, 0, 0.2], [0, 1, -1, 0, 0, 0, 0.25], [0, 1, -1, 1, 1, 0, 0.25], // at the sides
  [0, 0, 1, 1, 1, -1, 0.3], [0.5, 0.5, 0, 1, 1, -1, 0.3], [1, 1, -1, 1, 1, -1, 0.3], // inside, at the feet
  [0, 0, 1, 1, 2, -2, 0.45], [0.5, 0.5, 0, 1, 2, -2, 0.45], [1, 1, -1, 1, 2, -2, 0.45], // and one plate above them
  [0, 0, 0, 0, 2, -2, 0.9], [1, 1, 0, 0, 2, -2, 0.9], [0, 0, 0, 0, 3, -3, 1.1], [1, 1, 0, 0, 3, -3, 1.1], // away, with a line
  [0, 0, 0, 1, -1, 2, 0.9], [1, 1, 0, 1, -1, 2, 0.9],
];
const BELOW = 3;
const STAY = 0.5; // off the cost of the slot that a plate already has: it shall not jump about
const GOOD = -0.15; // a place that costs less is kept, without a look at others
const BODY = { own: 0.2, other: 1.2 }; // for a plate that lies wholly on a box
const LINE_LOST = 0.6; // for all lines of actions that a smaller plate gives up
const ID_ONLY = 3;

/** The lines of a person's plate, and its size with all of them, with one less, …, with the id alone. */
function plateOf(context, person, size, width) {
  const lines = person.actions.slice(0, most(width)).map(([label, score]) => {
    const name = cut(context, labels[label].short, width * 0.34);
    return { name, score, text: score.toFixed(2).replace(/^0/, ""), label };
  });
  const pad = Math.round(size * 0.45);
  const row = Math.round(size * 1.55);
  const chip = context.measureText(String(owners[person.owner].id)).width + 2 * pad;
  const widths = lines.map((line) => context.measureText(`${line.name}  ${line.text}`).width + 3 * pad);
  const sizes = Array.from({ length: lines.length + 1 }, (_, lost) => {
    const kept = widths.slice(0, lines.length - lost);
    return [chip + Math.max(0, ...kept), row * Math.max(1, kept.length)];
  });
  return { lines, sizes, chip, pad, row };
}

/** The area that two rectangles share. */
function common(a, b) {
  const [w, h] = [Math.min(a[2], b[2]) - Math.max(a[0], b[0]), Math.min(a[3], b[3]) - Math.max(a[1], b[1])];
  return w > 0 && h > 0 ? w * h : 0;
}

const faceOf = ([x1, y1, x2, y2]) => [x1, y1, x2, y1 + (y2 - y1) / 3];

/** Where a plate of one of these sizes would stand in a slot of a box, pushed into the picture, and at what cost. */
function inSlot(box, [w, h], slot, { width, height }) {
  const [fx, px, gx, fy, py, gy, cost] = SLOTS[slot];
  const [x, y] = [box[0] + fx * (box[2] - box[0]) - px * w + gx * AWAY, box[1] + fy * (box[3] - box[1]) - py * h + gy * AWAY];
  const left = Math.min(Math.max(x, 0), Math.max(0, width - w));
  const top = Math.min(Math.max(y, 0), Math.max(0, height - h));
  const moved = Math.hypot(left - x, top - y) / Math.min(width, height);
  return { rect: [left, top, left + w, top + h], cost: cost + moved };
}

/** The area that a rectangle shares with others. */
const shared = (rect, others) => others.reduce((sum, other) => sum + common(rect, other), 0);

/**
 * A place for the plate of the box number `mine`: on no other plate and no head, on as little of other people as may be,
 * with fewer lines where all of them find no room; at worst the id where it hides least. It is added to the taken ones.
 */
function placePlate(mine, sizes, room, before) {
  const { taken, boxes } = room;
  const faces = boxes.map(faceOf);
  const smallest = sizes.length - 1;
  let best = null;
  let last = null;
  const consider = (slot, variant) => {
    const size = sizes[variant];
    const place = { ...inSlot(boxes[mine], size, slot, room), slot, variant };
    const hidden = 4 * shared(place.rect, taken) + shared(place.rect, faces);
    if (variant === smallest && (last === null || hidden < last.hidden)) last = { ...place, hidden };
    if (hidden > 0) return;
    place.cost += variant > 0 && variant === smallest ? ID_ONLY : (LINE_LOST * variant) / Math.max(1, smallest);
    const own = common(place.rect, boxes[mine]);
    place.cost += (BODY.own * own + BODY.other * (shared(place.rect, boxes) - own)) / (size[0] * size[1]);
    if (before?.slot === slot && before.variant === variant) place.cost -= STAY;
    if (best === null || place.cost < best.cost) best = place;
  };
  if (before?.variant === 0) consider(before.slot, 0);
  if (best === null || best.cost > GOOD) {
    for (let variant = 0; variant <= smallest; variant += 1) SLOTS.forEach((_, slot) => consider(slot, variant));
  }
  const place = best ?? last;
  taken.push(place.rect);
  return place;
}
