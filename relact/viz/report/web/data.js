// The data as typed columns, and the lanes of actions made of them.
const KINDS = {
  8: Uint8Array, 16: Uint16Array, 32: Uint32Array, "-8": Int8Array, "-16": Int16Array, "-32": Int32Array,
};

function unpack(column) {
  const text = atob(column.d);
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k += 1) bytes[k] = text.charCodeAt(k);
  return new KINDS[column.t](bytes.buffer);
}

const raw = readJson("data");
const film = raw.film;
const labels = raw.labels.map((label) => ({ ...label, words: `${label.short}\n${label.name}`.toLowerCase() }));
const SCORE = raw.units.score;
const every = raw.every;
const times = Float64Array.from(unpack(raw.times), (time) => time / raw.units.time);
const duration = Math.max(film.duration, times.length ? times[times.length - 1] : 0, 0.001);

/** Tracks of boxes: the rows of track p are first[p] … first[p + 1] - 1, in order of time. */
function tracksOf(columns) {
  const keyframe = unpack(columns.keyframe);
  return {
    count: unpack(columns.first).length - 1,
    first: unpack(columns.first),
    time: Float64Array.from(keyframe, (k) => times[k]),
    box: unpack(columns.box),
    firstAction: unpack(columns.firstAction),
    label: unpack(columns.label),
    score: unpack(columns.score),
  };
}

const found = tracksOf(raw.found);
const truth = raw.truth && { ...tracksOf(raw.truth), names: raw.truth.names, match: unpack(raw.truth.match) };

const segments = Object.fromEntries(Object.entries(raw.segments).map(([name, column]) => [name, unpack(column)]));
segments.rows = segments.person.length;

/** Who owns a row of the timeline: the people who were found, then those of truth whom nobody is. */
const owners = raw.people.map((person) => ({ ...person, name: `Person ${person.id}`, missed: false }));

const ownerOfRow = new Uint32Array(found.time.length);
for (let p = 0; p < found.count; p += 1) ownerOfRow.fill(p, found.first[p], found.first[p + 1]);

function ownersOfTruth() {
  const owner = [];
  for (let k = 0; k < truth.count; k += 1) {
    const votes = new Map();
    for (let row = truth.first[k]; row < truth.first[k + 1]; row += 1) {
      if (truth.match[row] < 0) continue;
      const person = ownerOfRow[truth.match[row]];
      votes.set(person, (votes.get(person) ?? 0) + 1);
    }
    const best = [...votes].sort((a, b) => b[1] - a[1])[0];
    owner.push(best ? best[0] : owners.length);
    if (!best) owners.push({ id: null, colour: null, picture: null, name: truth.names[k], missed: true });
  }
  return owner;
}

/** Lanes by owner: `time` and `score` of what was found, `truthTime` and `truthScore` of what is true. */
function makeLanes() {
  const lanes = new Map();
  const lane = (owner, label) => {
    const key = owner * labels.length + label;
    if (!lanes.has(key)) {
      lanes.set(key, { owner, label, time: [], score: [], best: 0, total: 0, truthTime: [], truthScore: [] });
    }
    return lanes.get(key);
  };
  for (let row = 0; row < found.time.length; row += 1) {
    for (let s = found.firstAction[row]; s < found.firstAction[row + 1]; s += 1) {
      const into = lane(ownerOfRow[row], found.label[s]);
      into.time.push(found.time[row]);
      into.score.push(found.score[s]);
      into.best = Math.max(into.best, found.score[s]);
      into.total += found.score[s];
    }
  }
  if (truth) addTruth(lane);
  for (const made of lanes.values()) {
    made.time = Float64Array.from(made.time);
    made.score = Uint16Array.from(made.score);
  }
  return [...lanes.values()].sort((a, b) => a.owner - b.owner || b.total - a.total || a.label - b.label);
}

const truthOwners = truth ? ownersOfTruth() : [];

function addTruth(lane) {
  for (let k = 0; k < truth.count; k += 1) {
    for (let row = truth.first[k]; row < truth.first[k + 1]; row += 1) {
      const person = truth.match[row] < 0 ? truthOwners[k] : ownerOfRow[truth.match[row]];
      for (let v = truth.firstAction[row]; v < truth.firstAction[row + 1]; v += 1) {
        const into = lane(person, truth.label[v]);
        into.truthTime.push(truth.time[row]);
        into.truthScore.push(truth.score[v]);
      }
    }
  }
}

const lanes = makeLanes();

/** First index of a sorted list whose value is above `wanted`. */
function above(values, wanted, from = 0, to = values.length) {
  let [low, high] = [from, to];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

const steps = Array.from(times.subarray(1), (time, k) => time - times[k]).sort((a, b) => a - b);
const HOLD = 0.5 * (steps.length ? steps[steps.length >> 1] : every);
const MAX_GAP = 2.5 * every;

/** Where track `p` is at a time, and the row whose actions hold then; null where it is not in the picture.
    The rule is that of annotated.mp4: straight lines between keyframes, and staying in place for a moment. */
function placeAt(tracks, p, time) {
  const [begin, end] = [tracks.first[p], tracks.first[p + 1]];
  const later = above(tracks.time, time + 1e-6, begin, end);
  const [a, b] = [later > begin ? later - 1 : -1, later < end ? later : -1];
  const at = (row, k) => tracks.box[4 * row + k] / raw.units.box;
  if (a >= 0 && b >= 0 && tracks.time[b] - tracks.time[a] <= MAX_GAP) {
    const part = Math.max(0, (time - tracks.time[a]) / (tracks.time[b] - tracks.time[a]));
    return { row: part <= 0.5 ? a : b, box: [0, 1, 2, 3].map((k) => at(a, k) * (1 - part) + at(b, k) * part) };
  }
  const [before, after] = [a < 0 ? Infinity : time - tracks.time[a], b < 0 ? Infinity : tracks.time[b] - time];
  const row = before <= after ? a : b;
  return Math.min(before, after) <= HOLD + 1e-6 ? { row, box: [0, 1, 2, 3].map((k) => at(row, k)) } : null;
}
