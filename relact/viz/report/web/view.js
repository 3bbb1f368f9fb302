// What the reader chose to see, and who is to be told of a change.
const highest = found.score.reduce((most, score) => Math.max(most, score), 0) / SCORE;
const view = {
  time: 0,
  people: new Set(),
  hidden: new Set(),
  text: "",
  least: highest >= 0.3 ? 0.3 : 0,
  boxes: !film.drawn,
  start: 0,
  span: duration,
};

const listeners = { time: [], filter: [], range: [] };
const on = (event, listener) => listeners[event].push(listener);
function emit(event) {
  for (const listener of listeners[event]) listener();
}

/** Work at most once a frame, however often it is asked for. */
function onceAFrame(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      work();
    });
  };
}

const leastScore = () => Math.round(view.least * SCORE);
const ownerShown = (owner) => view.people.size === 0 || view.people.has(owner);

function labelShown(label, owner) {
  if (view.hidden.has(labels[label].group)) return false;
  return view.text === "" || labels[label].words.includes(view.text) || owners[owner].name.toLowerCase() === view.text;
}

function laneShown(lane) {
  if (!ownerShown(lane.owner) || !labelShown(lane.label, lane.owner)) return false;
  return (lane.time.length > 0 && lane.best >= leastScore()) || lane.truthTime.length > 0;
}

function segmentShown(row) {
  const person = segments.person[row];
  return ownerShown(person) && labelShown(segments.label[row], person) && segments.mean[row] >= leastScore();
}

/** The actions of a box that are to be shown, best first: [label, score from 0 to 1]. */
function actionsOf(tracks, row, owner) {
  const chosen = [];
  for (let s = tracks.firstAction[row]; s < tracks.firstAction[row + 1]; s += 1) {
    if (tracks.score[s] >= leastScore() && labelShown(tracks.label[s], owner)) {
      chosen.push([tracks.label[s], tracks.score[s] / SCORE]);
    }
  }
  return chosen;
}

/** Everybody who is found at a time, filters obeyed: {owner, box, actions}. */
function peopleAt(time) {
  const here = [];
  for (let owner = 0; owner < found.count; owner += 1) {
    const place = ownerShown(owner) ? placeAt(found, owner, time) : null;
    if (place) here.push({ owner, box: place.box, actions: actionsOf(found, place.row, owner) });
  }
  return here;
}

/** Everybody who is there in truth: {name, box, missed, actions: [label, score that it was given]}. */
function truthAt(time) {
  const here = [];
  for (let k = 0; truth && k < truth.count; k += 1) {
    const place = placeAt(truth, k, time);
    if (!place) continue;
    const matched = truth.match[place.row];
    if (!ownerShown(matched < 0 ? truthOwners[k] : ownerOfRow[matched])) continue;
    const actions = [];
    for (let v = truth.firstAction[place.row]; v < truth.firstAction[place.row + 1]; v += 1) {
      if (!view.hidden.has(labels[truth.label[v]].group)) actions.push([truth.label[v], truth.score[v] / SCORE]);
    }
    here.push({ name: truth.names[k], box: place.box, missed: matched < 0, actions });
  }
  return here;
}

function seekTo(time) {
  view.time = Math.min(Math.max(time, 0), duration);
  emit("time");
}

function setRange(start, span) {
  view.span = Math.min(Math.max(span, Math.min(duration, 4 * every)), duration);
  view.start = Math.min(Math.max(start, 0), duration - view.span);
  emit("range");
}

const style = getComputedStyle(document.documentElement);
const colours = {};
function readColours() {
  for (const name of ["ink", "soft", "line", "strong", "card", "sunk", "wash", "accent", "danger", "ground"]) {
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
  colours.font = style.getPropertyValue("--font").trim();
  const own = { pose: "pose", object: "object", person: "person" };
  colours.groups = {};
  for (const { group } of labels) colours.groups[group] = style.getPropertyValue(`--${own[group] ?? "action"}`).trim();
}
const tint = (label) => colours.groups[labels[label].group];

/** A canvas at the screen's own resolution: [context, width, height] in CSS pixels. */
function fit(canvas, width, height) {
  const dense = window.devicePixelRatio || 1;
  const [w, h] = [Math.max(1, Math.round(width * dense)), Math.max(1, Math.round(height * dense))];
  if (canvas.width !== w || canvas.height !== h) {
    [canvas.width, canvas.height] = [w, h];
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(dense, 0, 0, dense, 0, 0);
  return context;
}

/** Text cut to a width with an ellipsis, remembered. */
const cuts = new Map();
function cut(context, text, width) {
  const key = `${context.font}|${Math.round(width)}|${text}`;
  if (!cuts.has(key)) {
    let shown = text.length > 400 ? `${text.slice(0, 400)}…` : text;
    while (shown.length > 1 && context.measureText(shown).width > width) shown = `${shown.slice(0, -2).trimEnd()}…`;
    if (cuts.size > 4000) cuts.clear();
    cuts.set(key, shown);
  }
  return cuts.get(key);
}
