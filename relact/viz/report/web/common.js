// Shared by the report and the index: elements, numbers as text, light and dark.
const $ = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text, never markup. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null) continue;
    made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

const readJson = (id) => JSON.parse($(id).textContent);

/** Seconds as 1:02:03.4; `digits` behind the point. */
function clockText(seconds, digits = 0) {
  const unit = 10 ** digits;
  const parts = Math.round(Math.max(0, seconds) * unit);
  const whole = Math.floor(parts / unit);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const text = hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  return digits ? `${text}.${String(parts % unit).padStart(digits, "0")}` : text;
}

const plural = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** Light, dark, or as the system says; kept where the browser lets a file keep anything. */
const theme = {
  system: window.matchMedia("(prefers-color-scheme: dark)"),
  chosen: null,
  listeners: [],
  get dark() {
    return this.chosen === null ? this.system.matches : this.chosen === "dark";
  },
  apply() {
    document.documentElement.dataset.theme = this.dark ? "dark" : "light";
    const now = this.chosen === null ? "as the system" : this.chosen;
    $("theme").setAttribute("aria-label", `Colours: ${now}`);
    $("theme").title = `Colours: ${now}`;
    for (const listener of this.listeners) listener();
  },
  toggle() {
    this.chosen = this.dark ? "light" : "dark";
    try {
      localStorage.setItem("relact-theme", this.chosen);
    } catch {
      // a page from a file may keep nothing
    }
    this.apply();
  },
  begin() {
    try {
      const kept = localStorage.getItem("relact-theme");
      this.chosen = kept === "dark" || kept === "light" ? kept : null;
    } catch {
      this.chosen = null;
    }
    this.system.addEventListener("change", () => this.apply());
    $("theme").addEventListener("click", () => this.toggle());
    this.apply();
  },
};
