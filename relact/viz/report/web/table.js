// The segments as a table: as many rows in the page as fit, however many there are; sorted, and kept as csv.
const ROW = 40;
const COLUMNS = [
  { key: "person", name: "Person" },
  { key: "label", name: "Action" },
  { key: "start", name: "Start", number: true },
  { key: "end", name: "End", number: true, wide: true },
  { key: "seconds", name: "Length", number: true, wide: true },
  { key: "mean", name: "Mean", number: true },
  { key: "peak", name: "Peak", number: true, wide: true },
];
const table = { key: "start", down: false, shown: [], from: -1, to: -1 };
segments.seconds = Uint32Array.from(segments.end, (end, k) => Math.max(0, end - segments.start[k]));

const rankOfLabel = labels.map((_, k) => k).sort((a, b) => labels[a].short.localeCompare(labels[b].short));
const placeOfLabel = rankOfLabel.reduce((places, label, k) => ((places[label] = k), places), []);

function valueOf(row) {
  return table.key === "label" ? placeOfLabel[segments.label[row]] : segments[table.key][row];
}

function beginTable() {
  for (const column of COLUMNS) {
    const button = element("button", { type: "button" }, column.name);
    const classes = `c-${column.key}${column.number ? " number" : ""}${column.wide ? " wide" : ""}`;
    const head = element("th", { scope: "col", class: classes, "aria-sort": "none" }, button);
    button.addEventListener("click", () => {
      table.down = table.key === column.key ? !table.down : Boolean(column.number && column.key !== "start" && column.key !== "end");
      table.key = column.key;
      sortTable();
    });
    $("table-head").append(head);
  }
  $("table-box").addEventListener("scroll", onceAFrame(() => drawTable(false)));
  $("rows").addEventListener("click", (event) => {
    const row = event.target.closest("tr.row");
    if (row) go(segments.start[Number(row.dataset.row)] / raw.units.time);
  });
  $("export").addEventListener("click", saveCsv);
}

function fillTable() {
  table.shown = [];
  for (let row = 0; row < segments.rows; row += 1) if (segmentShown(row)) table.shown.push(row);
  $("count").textContent = table.shown.length === segments.rows
    ? segments.rows.toLocaleString("en")
    : `${table.shown.length.toLocaleString("en")} of ${segments.rows.toLocaleString("en")}`;
  $("export").disabled = table.shown.length === 0;
  sortTable();
}

function sortTable() {
  const sign = table.down ? -1 : 1;
  table.shown.sort((a, b) => sign * (valueOf(a) - valueOf(b)) || segments.start[a] - segments.start[b] || a - b);
  [...$("table-head").children].forEach((head, k) => {
    const sorted = COLUMNS[k].key === table.key ? (table.down ? "descending" : "ascending") : "none";
    head.setAttribute("aria-sort", sorted);
  });
  $("table").setAttribute("aria-rowcount", String(table.shown.length + 1));
  drawTable(true);
}

function tableRow(row, place) {
  const { start, end, mean, peak } = segments;
  const seconds = (value) => value / raw.units.time;
  const person = owners[segments.person[row]];
  const dot = element("span", { class: "dot" });
  dot.style.background = person.colour;
  const when = element("button", { type: "button", class: "go" }, clockText(seconds(start[row]), 1));
  const action = chip(segments.label[row]);
  action.title = labels[segments.label[row]].name;
  const made = element("tr", { class: "row", "data-row": row, "aria-rowindex": place + 2 });
  made.append(
    element("td", {}, dot, element("span", { class: "wide" }, "Person "), String(person.id)),
    element("td", {}, action),
    element("td", { class: "number" }, when),
    element("td", { class: "number wide" }, clockText(seconds(end[row]), 1)),
    element("td", { class: "number wide" }, `${seconds(segments.seconds[row]).toFixed(1)} s`),
    element("td", { class: "number" }, (mean[row] / SCORE).toFixed(2)),
    element("td", { class: "number wide" }, (peak[row] / SCORE).toFixed(2)),
  );
  return made;
}

/** The rows in sight and a few around them, between two empty ones that stand for the rest. */
function drawTable(anew) {
  const box = $("table-box");
  const from = Math.max(0, Math.floor(box.scrollTop / ROW) - 6);
  const to = Math.min(table.shown.length, from + Math.ceil((box.clientHeight || 430) / ROW) + 12);
  if (!anew && from === table.from && to === table.to) return;
  [table.from, table.to] = [from, to];
  const columns = [...$("table-head").children].filter((head) => head.offsetWidth > 0).length || 1;
  const pad = (rows) => {
    const cell = element("td", { class: "pad", colspan: columns });
    cell.style.height = `${rows * ROW}px`;
    const made = element("tr", { "aria-hidden": "true" }, cell);
    made.hidden = rows === 0;
    return made;
  };
  const rows = table.shown.slice(from, to).map((row, k) => tableRow(row, from + k));
  if (!table.shown.length) {
    const text = segments.rows ? "No segment passes the filters." : "Nobody did anything for sure.";
    rows.push(element("tr", {}, element("td", { colspan: columns, class: "nothing" }, text)));
  }
  $("rows").replaceChildren(pad(from), ...rows, pad(table.shown.length - to));
  markTable();
}

/** The segments of this moment stand out. */
function markTable() {
  const now = pictureTime() * raw.units.time;
  for (const row of $("rows").children) {
    if (!row.dataset.row) continue;
    const k = Number(row.dataset.row);
    row.classList.toggle("current", segments.start[k] <= now && now < segments.end[k]);
  }
}

const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** What is shown, as it is sorted, in the columns of segments.csv. */
function csvText() {
  const lines = ["video,person_id,action_id,action,start_s,end_s,mean_score,peak_score,keyframes"];
  for (const row of table.shown) {
    const label = labels[segments.label[row]];
    const seconds = (value) => (value / raw.units.time).toFixed(3);
    const score = (value) => (value / SCORE).toFixed(4);
    lines.push([
      quoted(raw.title), owners[segments.person[row]].id, label.id, quoted(label.name), seconds(segments.start[row]),
      seconds(segments.end[row]), score(segments.mean[row]), score(segments.peak[row]), segments.count[row],
    ].join());
  }
  return `${lines.join("\n")}\n`;
}

function saveCsv() {
  const address = URL.createObjectURL(new Blob([csvText()], { type: "text/csv" }));
  element("a", { href: address, download: "segments.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
