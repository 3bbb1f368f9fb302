// Everything put together: filters, keys, and who draws when.
function setSearch(text) {
  $("search").value = text;
  view.text = text.trim().toLowerCase();
  emit("filter");
}

function setLeast(value) {
  view.least = value;
  $("least").value = String(value);
  $("least-value").textContent = value.toFixed(2);
  emit("filter");
}

function beginFilters() {
  const groups = [...new Set(labels.map(({ group }) => group))];
  const names = { pose: "Pose", object: "With objects", person: "With people", action: "Actions" };
  for (const group of groups) {
    const swatch = element("i", { "data-group": group });
    const button = element("button", { type: "button", class: "group", "aria-pressed": "true" });
    button.append(swatch, element("span", {}, names[group] ?? group));
    button.addEventListener("click", () => {
      if (!view.hidden.delete(group)) view.hidden.add(group);
      button.setAttribute("aria-pressed", String(!view.hidden.has(group)));
      emit("filter");
    });
    $("groups").append(button);
  }
  $("filters").hidden = $("zoom").hidden = owners.length === 0;
  $("search").addEventListener("input", () => setSearch($("search").value));
  $("least").addEventListener("input", () => setLeast(Number($("least").value)));
  setLeast(view.least);
}

function beginButtons() {
  const click = (id, act) => $(id).addEventListener("click", act);
  click("play", () => (player.playing ? pause() : play()));
  click("back", () => step(-1));
  click("forward", () => step(1));
  click("boxes", toggleBoxes);
  click("mute", toggleSound);
  click("full", fullScreen);
  click("zoom-in", () => zoomBy(1.6));
  click("zoom-out", () => zoomBy(1 / 1.6));
  click("zoom-fit", zoomFit);
  click("help-open", () => $("help").showModal());
  click("help-close", () => $("help").close());
  click("help", (event) => event.target === $("help") && $("help").close());
}

function toggleBoxes() {
  view.boxes = !view.boxes;
  $("boxes").setAttribute("aria-pressed", String(view.boxes));
  drawOverlay();
}

function toggleSound() {
  player.video.muted = !player.video.muted;
  $("mute").classList.toggle("muted-film", player.video.muted);
  $("mute").setAttribute("aria-pressed", String(!player.video.muted));
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else $("screen").requestFullscreen?.().catch(() => {});
}

const KEYS = {
  " ": () => (player.playing ? pause() : play()),
  ArrowLeft: (event) => step(event.shiftKey ? -10 : -1),
  ArrowRight: (event) => step(event.shiftKey ? 10 : 1),
  ArrowUp: () => nextPerson(-1),
  ArrowDown: () => nextPerson(1),
  Home: () => go(0),
  End: () => go(duration),
  ",": () => stepFrame(-1),
  ".": () => stepFrame(1),
  "/": () => $("search").focus(),
  "?": () => $("help").showModal(),
  "+": () => zoomBy(1.6),
  "=": () => zoomBy(1.6),
  "-": () => zoomBy(1 / 1.6),
  "−": () => zoomBy(1 / 1.6),
  0: zoomFit,
  b: toggleBoxes,
  t: () => theme.toggle(),
  m: toggleSound,
  f: fullScreen,
  Escape: () => {
    if (view.text) setSearch("");
    if (view.people.size) choosePeople([]);
  },
};

/** Keys belong to what is focused first: text, a slider, a list, a button's own space. */
function keyDown(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const { target, key } = event;
  const typing = target.closest("input[type=search]");
  if (typing && key !== "Escape") return;
  if (typing) target.blur();
  const own = target.closest("input, select, #table-box") && /^(Arrow|Home|End| |Page)/.test(key);
  if (own || (target.closest("button, summary, a, label") && (key === " " || key === "Enter"))) return;
  const act = KEYS[key.length === 1 ? key.toLowerCase() : key];
  if (!act) return;
  event.preventDefault();
  act(event);
  if (key.startsWith("Arrow") || key === "Home" || key === "End") showTime();
}

function tellTruth() {
  if (!truth) return;
  const least = Math.max(1, leastScore());
  let [hits, all] = [0, 0];
  for (const score of truth.score) {
    hits += score >= least;
    all += 1;
  }
  const missedBoxes = truth.match.reduce((sum, match) => sum + (match < 0), 0);
  const line = $("truth-line");
  line.hidden = false;
  line.replaceChildren(
    "Truth, of everybody: ", element("b", {}, `${hits.toLocaleString("en")} of ${all.toLocaleString("en")}`),
    ` actions found at ${view.least.toFixed(2)}, `,
    element("b", { class: "miss" }, `${(all - hits).toLocaleString("en")} missed`),
    `, ${plural(missedBoxes, "box", "boxes")} without a person. Dashed in the picture, a thin line below the bars.`,
  );
}

function tellFacts() {
  document.title = `${raw.title} · relact`;
  $("title").textContent = raw.title;
  const people = plural(found.count, "person", "people");
  $("facts-line").textContent = [
    clockText(film.duration), `${film.width} × ${film.height}`, people, plural(segments.rows, "segment", "segments"),
  ].join("  ·  ");
  $("end").textContent = clockText(duration, 1);
  $("timeline").setAttribute("aria-valuemax", duration.toFixed(1));
  for (const [name, value] of raw.facts) $("facts").append(element("dt", {}, name), element("dd", {}, value));
  for (const warning of raw.warnings) $("notes").append(element("p", {}, warning));
  $("boxes").setAttribute("aria-pressed", String(view.boxes));
}

function applyTheme() {
  readColours();
  for (const swatch of document.querySelectorAll("[data-group]")) {
    swatch.style.setProperty("--tint", colours.groups[swatch.dataset.group]);
  }
  drawTimeline();
  tellPeople();
  drawTable(true);
}

const drawAll = onceAFrame(() => {
  measure();
  drawTimeline();
  drawOverlay();
});

/** Filters change rows, boxes, list and table at once. */
const filtered = onceAFrame(() => {
  layOut();
  measure();
  drawTimeline();
  drawOverlay();
  tellPeople();
  tellTruth();
  fillTable();
});

/** List and table change the layout of the page: eight times a second are enough. */
const told = { at: 0, later: 0 };
function tell() {
  clearTimeout(told.later);
  const wait = told.at + 125 - performance.now();
  if (wait > 0) {
    told.later = setTimeout(tell, wait);
    return;
  }
  told.at = performance.now();
  tellPeople();
  markTable();
  speak();
}

const moved = onceAFrame(() => {
  $("now").textContent = clockText(view.time, 1);
  drawPlayhead();
  drawOverlay();
  tell();
});

function begin() {
  theme.begin();
  readColours();
  tellFacts();
  beginPeople();
  beginTable();
  beginLooks();
  beginFilters();
  beginButtons();
  beginPointer();
  beginFilm();
  theme.listeners.push(applyTheme);
  on("time", moved);
  on("filter", filtered);
  on("range", onceAFrame(drawTimeline));
  line.box.addEventListener("scroll", onceAFrame(drawTimeline));
  for (const picture of line.pictures) picture?.addEventListener("load", drawAll);
  new ResizeObserver(drawAll).observe(line.box);
  new ResizeObserver(onceAFrame(drawOverlay)).observe(player.video);
  document.addEventListener("keydown", keyDown);
  applyTheme();
  emit("filter");
  emit("time");
}

begin();

/** For the console and for tests: what is to be seen now. Reading it changes nothing. */
window.relact = Object.freeze({
  drawn: () => ({ time: overlay.time, boxes: overlay.drawn }),
  rows: () => line.rows.map(({ owner, lane }) => [owners[owner].name, lane && labels[lane.label].name]),
  view: () => ({ ...view, people: [...view.people], hidden: [...view.hidden], duration, playing: player.playing, ready: player.ready }),
  table: () => ({ rows: table.shown.length, csv: csvText() }),
  x: (time) => xOf(time),
});
