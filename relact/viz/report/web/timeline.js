// The timeline: a row a person and a lane an action, on one canvas that holds only what is in sight.
const HEAD = 40;
const LANE = 21;
const RULER = 26;
const GAP = 6;

const line = {
  box: $("timeline"),
  room: $("lanes"),
  pane: $("pane"),
  bars: $("bars"),
  playhead: $("playhead"),
  overview: $("overview"),
  rows: [],
  height: 0,
  width: 0,
  limit: 0,
  pictures: owners.map(({ picture }) => (picture ? Object.assign(new Image(), { src: picture }) : null)),
};

const lanesOf = owners.map(() => []);
for (const lane of lanes) lanesOf[lane.owner].push(lane);

const narrow = () => line.width < 620;
const gutter = () => (narrow() ? 122 : 212);
const trackWidth = () => Math.max(20, line.width - gutter() - 14);
const xOf = (time) => gutter() + ((time - view.start) / view.span) * trackWidth();
const timeOf = (x) => view.start + ((x - gutter()) / trackWidth()) * view.span;
const visibleHeight = () => Math.min(line.height, Math.max(120, line.limit));
const font = (weight, size) => `${weight} ${size}px ${colours.font}`;

/** Which rows there are, from the top. Only a change of filters asks for it. */
function layOut() {
  line.rows = [];
  let y = RULER + 2;
  owners.forEach((owner, k) => {
    const shown = lanesOf[k].filter(laneShown);
    const wanted = ownerShown(k) && (view.text === "" && view.hidden.size === 0);
    if (!shown.length && (!wanted || owner.missed)) return;
    line.rows.push({ owner: k, lane: null, y, h: HEAD });
    y += HEAD;
    for (const lane of shown) {
      line.rows.push({ owner: k, lane, y, h: LANE });
      y += LANE;
    }
    y += GAP;
  });
  line.height = y + 4;
  $("nothing").hidden = line.rows.length > 0;
  $("nothing").textContent = owners.length
    ? "No action passes the filters: lower the least score, or press Esc."
    : "Nobody was found in this video.";
  line.box.hidden = line.rows.length === 0;
}

function measure() {
  line.limit = parseFloat(getComputedStyle(line.box).maxHeight) || 600;
  line.width = line.box.clientWidth;
  line.room.style.height = `${line.height}px`;
  line.pane.style.height = `${visibleHeight()}px`;
}

function rowAt(y) {
  const k = above(line.rows.map((row) => row.y), y) - 1;
  const row = line.rows[k];
  return row && y < row.y + row.h ? row : null;
}

function drawTimeline() {
  if (line.box.hidden) return;
  const [width, height, scroll] = [line.width, visibleHeight(), line.box.scrollTop];
  const context = fit(line.bars, width, height);
  context.fillStyle = colours.card;
  context.fillRect(0, 0, width, height);
  const ticks = tickTimes();
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  context.beginPath();
  for (const time of ticks) {
    const x = Math.round(xOf(time)) + 0.5;
    context.moveTo(x, RULER);
    context.lineTo(x, height);
  }
  context.stroke();
  context.textBaseline = "middle";
  for (const row of line.rows) {
    const y = row.y - scroll;
    if (y + row.h < RULER || y > height) continue;
    if (row.lane === null) drawHead(context, row, y, width);
    else drawLane(context, row.lane, y);
  }
  drawRuler(context, ticks, width);
  drawOverview();
  drawPlayhead();
}

function tickTimes() {
  const wanted = (view.span / trackWidth()) * 84;
  const nice = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000];
  const between = nice.find((value) => value >= wanted) ?? Math.ceil(wanted / 36000) * 36000;
  line.tick = between;
  const list = [];
  for (let k = Math.ceil(view.start / between - 1e-9); k * between <= view.start + view.span + 1e-9; k += 1) {
    list.push(k * between);
  }
  return list;
}

function drawRuler(context, ticks, width) {
  context.fillStyle = colours.card;
  context.fillRect(0, 0, width, RULER);
  context.fillStyle = colours.line;
  context.fillRect(0, RULER - 1, width, 1);
  context.fillStyle = colours.soft;
  context.font = font(500, 11.5);
  for (const time of ticks) {
    const text = clockText(time, line.tick < 1 ? 1 : 0);
    const w = context.measureText(text).width;
    context.textAlign = "left";
    context.fillText(text, Math.min(Math.max(xOf(time) - w / 2, gutter() - 4), width - w - 4), RULER / 2);
  }
}

function drawHead(context, row, y, width) {
  const owner = owners[row.owner];
  const middle = y + HEAD / 2 + 2;
  if (row.y > RULER + 4) {
    context.fillStyle = colours.line;
    context.fillRect(0, y - GAP / 2, width, 1);
  }
  context.font = font(640, narrow() ? 13 : 13.5);
  const left = narrow() ? 10 : 16;
  drawFace(context, row.owner, left, middle - 14);
  context.textAlign = "left";
  context.fillStyle = owner.missed ? colours.danger : colours.ink;
  const text = owner.missed ? `${owner.name}, not found` : owner.name;
  context.fillText(cut(context, text, gutter() - left - 46), left + 36, middle);
  if (!owner.missed) drawPresence(context, row.owner, middle);
}

function drawFace(context, owner, x, y) {
  const picture = line.pictures[owner];
  context.save();
  context.beginPath();
  context.roundRect(x, y, 28, 28, 8);
  context.fillStyle = owners[owner].colour ?? colours.sunk;
  context.fill();
  context.strokeStyle = owners[owner].colour ?? colours.danger;
  context.lineWidth = 3;
  context.setLineDash(owners[owner].missed ? [4, 3] : []);
  context.stroke();
  context.clip();
  if (picture?.complete && picture.naturalWidth) {
    const side = Math.min(picture.naturalWidth, picture.naturalHeight);
    context.drawImage(picture, (picture.naturalWidth - side) / 2, 0, side, side, x + 1, y + 1, 26, 26);
  } else if (owners[owner].colour) {
    context.fillStyle = inkOn(owners[owner].colour);
    context.textAlign = "center";
    context.fillText(String(owners[owner].id), x + 14, y + 14.5);
  }
  context.restore();
}

/** When a person is in the picture: a thin line in their colour. */
function drawPresence(context, owner, middle) {
  const half = every / 2;
  const [from, to] = [view.start - half, view.start + view.span + half];
  const begin = above(found.time, from, found.first[owner], found.first[owner + 1]);
  let [x0, x1] = [null, null];
  const [left, right] = [gutter(), gutter() + trackWidth()];
  const flush = () => {
    if (x0 === null) return;
    const [a, b] = [Math.max(x0, left), Math.min(x1, right)];
    context.beginPath();
    context.roundRect(a, middle - 2.5, Math.max(2, b - a), 5, 2.5);
    context.fill();
  };
  context.fillStyle = owners[owner].colour;
  context.globalAlpha = 0.85;
  for (let row = begin; row < found.first[owner + 1] && found.time[row] <= to; row += 1) {
    const [a, b] = [xOf(Math.max(0, found.time[row] - half)), xOf(Math.min(duration, found.time[row] + half))];
    if (x0 !== null && a <= x1 + 1) {
      x1 = b;
      continue;
    }
    flush();
    [x0, x1] = [a, b];
  }
  flush();
  context.globalAlpha = 1;
}

function drawLane(context, lane, y) {
  const name = labels[lane.label].short;
  context.font = font(450, 12.5);
  context.textAlign = "left";
  const left = narrow() ? 12 : 28;
  context.fillStyle = tint(lane.label);
  context.beginPath();
  context.roundRect(left, y + LANE / 2 - 4, 8, 8, 2.5);
  context.fill();
  context.fillStyle = colours.soft;
  context.fillText(cut(context, name, gutter() - left - 26), left + 15, y + LANE / 2 + 0.5);
  context.save();
  context.beginPath();
  context.rect(gutter(), y, trackWidth(), LANE);
  context.clip();
  drawBars(context, lane, y + 4, lane.truthTime.length ? 9 : 13);
  if (lane.truthTime.length) drawTruthBars(context, lane, y);
  context.restore();
}

/** Pieces of a lane in pixels, [from, to, score]; where several keyframes share a pixel the best one counts. */
function piecesOf(lane) {
  const [half, least, pieces] = [every / 2, leastScore(), []];
  const end = view.start + view.span + half;
  let last = null;
  for (let k = above(lane.time, view.start - half); k < lane.time.length && lane.time[k] <= end; k += 1) {
    if (lane.score[k] < least) continue;
    const a = Math.round(xOf(Math.max(0, lane.time[k] - half)));
    const b = Math.round(xOf(Math.min(duration, lane.time[k] + half)));
    if (last && a === last[0]) {
      last[1] = Math.max(last[1], b);
      last[2] = Math.max(last[2], lane.score[k]);
    } else {
      last = [a, Math.max(a + 1, b), lane.score[k]];
      pieces.push(last);
    }
  }
  return pieces;
}

const ROUNDED = 300;

/** Bars as opaque as their scores, with round ends while there are few. */
function drawBars(context, lane, y, high) {
  const pieces = piecesOf(lane);
  context.save();
  if (pieces.length <= ROUNDED) {
    context.beginPath();
    pieces.forEach(([a], k) => {
      if (k && a <= pieces[k - 1][1]) return;
      let end = k;
      while (end + 1 < pieces.length && pieces[end + 1][0] <= pieces[end][1]) end += 1;
      context.roundRect(a, y, pieces[end][1] - a, high, 3);
    });
    context.clip();
  }
  context.fillStyle = tint(lane.label);
  for (const [a, b, score] of pieces) {
    context.globalAlpha = 0.14 + 0.86 * (score / SCORE);
    context.fillRect(a, y, b - a, high);
  }
  context.restore();
}

/** Truth below the bars: a thin line where it was found, a dashed frame where it was missed. */
function drawTruthBars(context, lane, y) {
  const [half, least] = [every / 2, Math.max(1, leastScore())];
  context.lineWidth = 1.2;
  for (const missed of [false, true]) {
    const runs = [];
    for (let k = 0; k < lane.truthTime.length; k += 1) {
      if ((lane.truthScore[k] < least) !== missed) continue;
      const time = lane.truthTime[k];
      if (time < view.start - half || time > view.start + view.span + half) continue;
      const [a, b] = [xOf(Math.max(0, time - half)), xOf(Math.min(duration, time + half))];
      const last = runs[runs.length - 1];
      if (last && a <= last[1] + 0.6 && a >= last[0]) last[1] = Math.max(last[1], b);
      else runs.push([a, b]);
    }
    context.fillStyle = missed ? colours.danger : colours.ink;
    context.strokeStyle = colours.danger;
    context.setLineDash([4, 3]);
    for (const [a, b] of runs) {
      context.fillRect(a, y + 15, Math.max(1, b - a), 2.5);
      if (missed && b - a > 5) context.strokeRect(a + 1, y + 4, b - a - 2, 9);
    }
  }
  context.setLineDash([]);
}

function drawPlayhead() {
  if (line.box.hidden) return;
  const height = visibleHeight();
  const context = fit(line.playhead, line.width, height);
  context.clearRect(0, 0, line.width, height);
  const x = xOf(view.time);
  if (x < gutter() - 1 || x > gutter() + trackWidth() + 1) return;
  context.fillStyle = colours.accent;
  context.fillRect(x - 0.75, RULER - 6, 1.5, height);
  context.beginPath();
  context.roundRect(x - 5, RULER - 13, 10, 12, [3, 3, 5, 5]);
  context.fill();
}

/** How much goes on over the whole video, and which part of it is in sight; there only when zoomed in. */
function drawOverview() {
  const zoomed = view.span < duration - 1e-6;
  $("overview-box").hidden = !zoomed;
  if (!zoomed) return;
  const [width, high] = [line.width, 30];
  const context = fit(line.overview, width, high);
  context.clearRect(0, 0, width, high);
  const [left, wide] = [gutter(), trackWidth()];
  const count = new Uint16Array(Math.ceil(wide) + 1);
  for (const time of found.time) count[Math.min(count.length - 1, Math.floor((time / duration) * wide))] += 1;
  const most = count.reduce((a, b) => Math.max(a, b), 1);
  context.fillStyle = colours.strong;
  count.forEach((n, x) => {
    if (n) context.fillRect(left + x, high - 3 - (n / most) * (high - 8), Math.max(1, wide / (duration / every)), (n / most) * (high - 8));
  });
  const [a, w] = [left + (view.start / duration) * wide, Math.max(6, (view.span / duration) * wide)];
  context.globalAlpha = 0.16;
  context.fillStyle = colours.accent;
  context.beginPath();
  context.roundRect(a, 1, w, high - 2, 6);
  context.fill();
  context.globalAlpha = 1;
  context.strokeStyle = colours.accent;
  context.lineWidth = 1.5;
  context.stroke();
}
