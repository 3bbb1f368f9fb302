// Videos in, what became of them out. Text of users and of the server is only ever text.
theme.begin();
const POLL = 1000;
const REST = 15000;
const cards = new Map();
const uploads = new Set();
let limits = null;
let known = [];

/** Bytes in the unit that keeps the number short. */
function size(bytes) {
  const [unit, name] = bytes < 1e6 ? [1e3, "kB"] : bytes < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  const number = Math.max(bytes / unit, unit === 1e3 ? 1 : 0);
  return `${number.toLocaleString("en", { maximumFractionDigits: number < 10 ? 1 : 0 })} ${name}`;
}

const long = (seconds) => (seconds < 90 ? plural(seconds, "second", "seconds") : plural(Math.round(seconds / 60), "minute", "minutes"));

function picture(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}
const FILM = "M3.5 6.5h17v11h-17zM7.5 6.5v11M16.5 6.5v11M3.5 10.2h4M3.5 13.8h4M16.5 10.2h4M16.5 13.8h4";

function say(text) {
  $("status").textContent = text;
}

function problem(text) {
  const row = element("p", { class: "problem" }, element("span", {}, text));
  const close = element("button", { type: "button", class: "link" }, "Dismiss");
  close.addEventListener("click", () => row.remove());
  row.append(close);
  $("problems").append(row);
}

async function ask(address, options = {}) {
  const answer = await fetch(address, options);
  if (answer.status === 401) window.location.assign("login");
  if (!answer.ok) throw new Error(await why(answer));
  return answer.status === 204 ? null : answer.json();
}

async function why(answer) {
  try {
    const { detail } = await answer.json();
    return typeof detail === "string" ? detail : `the server answered ${answer.status}`;
  } catch {
    return `the server answered ${answer.status}`;
  }
}

/** One card: a list item whose inside is made anew when what it shows has changed. */
function show(id, state, make) {
  const text = JSON.stringify(state);
  let card = cards.get(id);
  if (!card) {
    card = { node: element("li", { class: "card", "data-id": id }), text: "" };
    cards.set(id, card);
  }
  if (card.text !== text) {
    const focused = card.node.contains(document.activeElement) ? document.activeElement.dataset.deed : null;
    card.text = text;
    card.node.dataset.state = state.state;
    card.node.replaceChildren(...make(state));
    if (focused) card.node.querySelector(`[data-deed="${focused}"]`)?.focus();
  }
  return card.node;
}

function bar(value, most, label) {
  const share = most > 0 ? Math.min(1, value / most) : 0;
  return element("progress", { max: "1", value: String(share), "aria-label": label }, `${Math.round(100 * share)} %`);
}

function deed(name, label, work, kind = "") {
  const button = element("button", { type: "button", class: `button ${kind}`, "data-deed": name }, label);
  button.addEventListener("click", () => work(button));
  return button;
}

function poster(job) {
  const done = job.state === "done";
  const inside = [picture(FILM)];
  if (job.result?.poster) inside.push(element("img", { src: `videos/${job.id}/poster`, alt: "", loading: "lazy" }));
  inside.push(element("span", { class: "length" }, clockText(job.seconds)));
  const attributes = { class: "poster" };
  if (!done) return element("div", attributes, ...inside);
  return element("a", { ...attributes, href: `videos/${job.id}/result/report.html`, tabindex: "-1", "aria-hidden": "true" }, ...inside);
}

function title(job) {
  const name = job.name;
  if (job.state !== "done") return element("h3", { title: name }, name);
  return element("h3", { title: name }, element("a", { href: `videos/${job.id}/result/report.html`, "data-deed": "open" }, name));
}

function jobCard(job) {
  const about = element("div", { class: "about" }, title(job));
  const deeds = element("div", { class: "deeds" });
  const over = job.state === "done" || job.state === "failed";
  if (job.state === "waiting") {
    const text = job.ahead ? `waits; ${plural(job.ahead, "video", "videos")} before it` : "waits; it is next";
    about.append(element("p", { class: "muted" }, text));
  } else if (job.state === "running") {
    const { seconds = 0 } = job.progress ?? {};
    about.append(bar(seconds, job.seconds, `Progress of ${job.name}`));
    about.append(element("p", { class: "muted" }, `${clockText(seconds)} of ${clockText(job.seconds)} judged`));
  } else if (job.state === "failed") {
    about.append(element("p", { class: "bad" }, job.error));
  } else {
    const { result } = job;
    about.append(element("p", { class: "muted" }, `${plural(result.people, "person", "people")}, ${plural(result.keyframes, "keyframe", "keyframes")}`));
    const acts = element("div", { class: "acts" });
    for (const action of result.actions) {
      acts.append(element("span", { class: `act tint-${action.group}`, title: "of all people together" }, `${action.name} ${clockText(action.seconds)}`));
    }
    if (result.actions.length) about.append(acts);
    for (const warning of result.warnings) about.append(element("p", { class: "note" }, warning));
    for (const table of result.tables) {
      const [what, format] = table.split(".");
      const kind = what === "actions" ? format : what;
      const address = `api/v1/videos/${job.id}/${table}`;
      deeds.append(element("a", { class: "link", href: address, download: "", "aria-label": `${job.name}, ${kind}`, "data-deed": kind }, kind));
    }
  }
  deeds.append(element("span", { class: "space" }));
  deeds.append(deed("remove", over ? "Delete" : "Cancel", (button) => remove(job, button), "danger"));
  deeds.lastChild.setAttribute("aria-label", `${over ? "Delete" : "Cancel"} ${job.name}`);
  about.append(deeds);
  return [poster(job), about];
}

async function remove(job, button) {
  button.disabled = true;
  try {
    await ask(`api/v1/videos/${job.id}`, { method: "DELETE" });
    say(`${job.name}: removed`);
  } catch (error) {
    problem(`${job.name}: ${error.message}`);
  }
  await refresh();
  $("pick").focus();
}

function draw() {
  const wanted = [
    ...[...uploads].reverse().map((upload) => show(upload.id, upload.shown(), () => upload.card())),
    ...known.map((job) => show(job.id, job, jobCard)),
  ];
  const there = new Set(wanted);
  for (const [id, { node }] of cards) {
    if (!there.has(node)) {
      node.remove();
      cards.delete(id);
    }
  }
  wanted.forEach((node, place) => {
    if ($("videos").children[place] !== node) $("videos").insertBefore(node, $("videos").children[place] ?? null);
  });
  $("yours").hidden = wanted.length === 0;
}

const told = new Map();
async function refresh() {
  try {
    known = (await ask("api/v1/videos")).videos;
    document.documentElement.dataset.offline = "";
  } catch {
    document.documentElement.dataset.offline = "yes";
    say("The server does not answer.");
    return;
  }
  for (const job of known) {
    const before = told.get(job.id);
    if (before && before !== job.state && job.state !== "running") say(`${job.name}: ${job.state}`);
    told.set(job.id, job.state);
  }
  draw();
}

let timer = 0;
async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  await refresh();
  const busy = known.some((job) => job.state === "waiting" || job.state === "running");
  timer = setTimeout(poll, busy ? POLL : REST);
}

/** One file on its way: XMLHttpRequest, because fetch does not tell how much has gone. */
class Upload {
  static count = 0;

  constructor(file) {
    Upload.count += 1;
    this.id = `upload ${Upload.count}`;
    this.file = file;
    this.sent = 0;
    this.request = new XMLHttpRequest();
  }

  shown() {
    return { state: "sending", name: this.file.name, sent: Math.round((100 * this.sent) / this.file.size) };
  }

  card() {
    const { name, size: bytes } = this.file;
    const box = element("div", { class: "poster" }, picture(FILM));
    const about = element("div", { class: "about" }, element("h3", { title: name }, name), bar(this.sent, bytes, `Upload of ${name}`));
    about.append(element("p", { class: "muted" }, this.sent < bytes ? `${size(this.sent)} of ${size(bytes)} sent` : "the server looks at it"));
    const stop = deed("stop", "Cancel", () => this.request.abort(), "danger");
    stop.setAttribute("aria-label", `Cancel ${name}`);
    about.append(element("div", { class: "deeds" }, element("span", { class: "space" }), stop));
    return [box, about];
  }

  send() {
    const { request, file } = this;
    const form = new FormData();
    form.append("every", $("every").value);
    form.append("file", file, file.name);
    return new Promise((done) => {
      request.upload.addEventListener("progress", (event) => {
        this.sent = event.lengthComputable ? Math.min(file.size, Math.round((event.loaded / event.total) * file.size)) : event.loaded;
        draw();
      });
      request.addEventListener("load", () => {
        let answer = {};
        try {
          answer = JSON.parse(request.responseText);
        } catch {
          answer = { detail: `the server answered ${request.status}` };
        }
        if (request.status === 401) window.location.assign("login");
        else if (request.status !== 201) problem(`${file.name}: ${answer.detail}`);
        else say(`${file.name}: sent`);
        done();
      });
      request.addEventListener("error", () => {
        problem(`${file.name}: the connection broke; send it again`);
        done();
      });
      request.addEventListener("abort", () => done());
      request.open("POST", "api/v1/videos");
      request.send(form);
    });
  }
}

/** One upload at a time: the server judges one at a time as well, and the first is so there sooner. */
let sending = Promise.resolve();
function send(files) {
  for (const file of files) {
    if (limits && file.size > limits.max_bytes) {
      problem(`${file.name}: it has ${size(file.size)}; this server takes ${size(limits.max_bytes)} at most`);
      continue;
    }
    if (file.size === 0) {
      problem(`${file.name}: the file is empty`);
      continue;
    }
    const upload = new Upload(file);
    uploads.add(upload);
    sending = sending.then(() => upload.send()).then(async () => {
      uploads.delete(upload);
      await poll();
    });
  }
  draw();
}

$("pick").addEventListener("change", () => {
  send([...$("pick").files]);
  $("pick").value = "";
});
let depth = 0;
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (kind === "dragenter") depth += 1;
    if (kind === "dragleave") depth -= 1;
    if (kind === "drop") {
      depth = 0;
      send([...event.dataTransfer.files]);
    }
    $("drop").classList.toggle("over", depth > 0);
  });
}
document.addEventListener("visibilitychange", poll);

async function begin() {
  try {
    limits = await ask("api/v1/server");
    $("facts").textContent = `${limits.model}, ${limits.actions} actions, on ${limits.devices.join(", ")}`;
    const kept = limits.keep_hours ? ` Removed ${plural(limits.keep_hours, "hour", "hours")} after it is done.` : "";
    $("limits").textContent = `Up to ${size(limits.max_bytes)} and ${long(limits.max_seconds)} each.${kept}`;
    $("leave").hidden = !limits.login;
  } catch (error) {
    problem(error.message);
  }
  await poll();
}
begin();
