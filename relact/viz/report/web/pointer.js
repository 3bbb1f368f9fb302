// Mouse, pen and finger on the timeline: click and drag to seek, wheel to zoom and move, names to choose a person.
const zoomBy = (factor, middle = view.time) => {
  const span = view.span / factor;
  const kept = Math.min(Math.max(middle, view.start), view.start + view.span);
  setRange(kept - ((kept - view.start) / view.span) * span, span);
};
const zoomFit = () => setRange(0, duration);

/** Keep the playhead in sight while the video plays. */
function followPlayhead() {
  if (view.time < view.start || view.time > view.start + view.span * 0.98) setRange(view.time - view.span * 0.1, view.span);
}

function showTime() {
  if (view.time < view.start || view.time > view.start + view.span) setRange(view.time - view.span / 2, view.span);
}

/** Where an event is, from the corner of the pane. */
function positionOf(event) {
  const rect = line.pane.getBoundingClientRect();
  return [event.clientX - rect.left, event.clientY - rect.top + (event.clientY - rect.top > RULER ? line.box.scrollTop : 0)];
}

const onTrack = (x) => x >= gutter() - 6;
const scrub = { active: false, moved: false, startX: 0 };

function beginPointer() {
  const { pane } = line;
  pane.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [x] = positionOf(event);
    Object.assign(scrub, { active: onTrack(x), moved: false, startX: event.clientX });
    if (!scrub.active || event.pointerType === "touch") return;
    pane.setPointerCapture(event.pointerId);
    go(timeOf(x));
  });
  pane.addEventListener("pointermove", (event) => {
    const [x, y] = positionOf(event);
    pane.classList.toggle("on-track", onTrack(x));
    pane.classList.toggle("on-name", !onTrack(x) && rowAt(y) !== null);
    if (event.pointerType === "mouse") showTip(event, x, y);
    if (!scrub.active || event.buttons === 0) return;
    scrub.moved ||= Math.abs(event.clientX - scrub.startX) > 6;
    if (scrub.moved) go(timeOf(x));
  });
  pane.addEventListener("pointerup", (event) => {
    const [x, y] = positionOf(event);
    if (scrub.active && event.pointerType === "touch" && !scrub.moved) go(timeOf(x));
    if (!scrub.active && !onTrack(x)) chooseRow(rowAt(y));
    scrub.active = false;
  });
  pane.addEventListener("pointercancel", () => (scrub.active = false));
  pane.addEventListener("pointerleave", () => ($("tip").hidden = true));
  pane.addEventListener("wheel", wheel, { passive: false });
  beginOverview();
}

function wheel(event) {
  const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
  if (event.ctrlKey || event.metaKey) {
    zoomBy(Math.exp(-event.deltaY * 0.003), timeOf(positionOf(event)[0]));
  } else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
    setRange(view.start + (sideways / trackWidth()) * view.span, view.span);
  } else {
    return;
  }
  event.preventDefault();
}

function chooseRow(row) {
  if (row === null || owners[row.owner].missed) return;
  if (row.lane === null) togglePerson(row.owner);
  else setSearch(labels[row.lane.label].words === view.text ? "" : labels[row.lane.label].short);
}

function beginOverview() {
  const { overview } = line;
  const move = (event) => {
    const x = event.clientX - overview.getBoundingClientRect().left;
    setRange(((x - gutter()) / trackWidth()) * duration - view.span / 2, view.span);
  };
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    move(event);
  });
  overview.addEventListener("pointermove", (event) => {
    if (event.buttons) move(event);
  });
}

/** Score of a lane at a time, or null. */
function scoreAt(lane, time) {
  const k = above(lane.time, time + every / 2) - 1;
  return k >= 0 && Math.abs(lane.time[k] - time) <= every / 2 + 1e-6 ? lane.score[k] / SCORE : null;
}

function tipText(row, time) {
  const owner = owners[row.owner].name;
  if (row.lane === null) return `${owner}, ${clockText(time, 1)}`;
  const score = scoreAt(row.lane, time);
  const parts = [`${labels[row.lane.label].name}`, `${owner}, ${clockText(time, 1)}`];
  if (score !== null) parts.push(`score ${score.toFixed(2)}`);
  const k = row.lane.truthTime.findIndex((at) => Math.abs(at - time) <= every / 2);
  if (k >= 0) parts.push(row.lane.truthScore[k] >= Math.max(1, leastScore()) ? "true, and found" : "true, but missed");
  return parts.join("\n");
}

function showTip(event, x, y) {
  const row = rowAt(y);
  const tip = $("tip");
  if (row === null) {
    tip.hidden = true;
    return;
  }
  const time = Math.min(Math.max(timeOf(x), 0), duration);
  tip.textContent = onTrack(x) ? tipText(row, time) : row.lane === null ? owners[row.owner].name : labels[row.lane.label].name;
  tip.hidden = false;
  const { offsetWidth, offsetHeight } = tip;
  tip.style.left = `${Math.max(6, Math.min(event.clientX + 14, window.innerWidth - offsetWidth - 8))}px`;
  tip.style.top = `${Math.max(6, event.clientY + 18 + offsetHeight > window.innerHeight ? event.clientY - offsetHeight - 12 : event.clientY + 18)}px`;
}
