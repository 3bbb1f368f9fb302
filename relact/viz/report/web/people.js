// The list of people: a picture, when they were seen, what they do now; a click shows only them.
const cards = [];

function spanOf(owner) {
  const [first, last] = [found.first[owner], found.first[owner + 1] - 1];
  return `${clockText(found.time[first])}–${clockText(found.time[last])}`;
}

function beginPeople() {
  for (let owner = 0; owner < found.count; owner += 1) {
    const { name, picture, colour, id } = owners[owner];
    const face = element("span", { class: "face" });
    face.style.setProperty("--tint", colour);
    face.append(picture ? element("img", { src: picture, alt: "", loading: "lazy" }) : String(id));
    const who = element("span", { class: "who" }, element("b", {}, name), element("span", {}, spanOf(owner)));
    const does = element("span", { class: "does", "aria-hidden": "true" });
    const button = element("button", { type: "button", class: "one", "aria-pressed": "false" });
    button.append(face, element("span", { class: "text" }, who, does));
    button.addEventListener("click", () => togglePerson(owner));
    cards.push({ button, does, told: null });
    $("people").append(element("li", {}, button));
  }
  if (!found.count) $("people").append(element("li", { class: "nothing" }, "Nobody was found."));
  $("everyone").addEventListener("click", () => choosePeople([]));
}

function choosePeople(list) {
  view.people = new Set(list);
  cards.forEach(({ button }, owner) => button.setAttribute("aria-pressed", String(view.people.has(owner))));
  $("everyone").hidden = view.people.size === 0;
  emit("filter");
}

function togglePerson(owner) {
  const chosen = new Set(view.people);
  if (!chosen.delete(owner)) chosen.add(owner);
  choosePeople(chosen);
}

/** The person before or after the one that is chosen, alone. */
function nextPerson(by) {
  if (!found.count) return;
  const [now] = view.people.size ? [...view.people].sort((a, b) => a - b) : [by > 0 ? -1 : 0];
  const next = (now + by + found.count) % found.count;
  choosePeople([next]);
  showCard(next);
}

function showCard(owner) {
  const list = $("people");
  const { button } = cards[owner];
  list.scrollTo({ top: button.offsetTop - list.offsetTop - 8, left: button.offsetLeft - list.offsetLeft - 8 });
}

/** Of many people those in the picture come into view, unless the list is being used, or shows one of them. */
function showPresent() {
  const list = $("people");
  if (list.matches(":hover, :focus-within")) return;
  const present = cards.flatMap(({ button }, owner) => (button.classList.contains("away") ? [] : [owner]));
  const room = list.getBoundingClientRect();
  const seen = present.some((owner) => {
    const card = cards[owner].button.getBoundingClientRect();
    const [x, y] = [(card.left + card.right) / 2, (card.top + card.bottom) / 2];
    return x > room.left && x < room.right && y > room.top && y < room.bottom;
  });
  if (present.length && !seen) showCard(present[0]);
}

function chip(label, score) {
  const dot = element("i");
  dot.style.background = tint(label);
  const made = element("span", { class: "act" }, dot, element("em", {}, labels[label].short));
  if (score !== undefined) made.append(element("b", {}, score.toFixed(2)));
  return made;
}

/** What everybody does now; only what changed is touched. */
function tellPeople() {
  const time = pictureTime();
  let changed = false;
  for (let owner = 0; owner < cards.length; owner += 1) {
    const place = placeAt(found, owner, time);
    const actions = place ? actionsOf(found, place.row, owner).slice(0, 3) : [];
    const told = place ? `${place.row}|${actions.map(String).join()}|${theme.dark}` : "";
    if (cards[owner].told === told) continue;
    cards[owner].told = told;
    changed ||= cards[owner].button.classList.contains("away") === Boolean(place);
    cards[owner].button.classList.toggle("away", !place);
    const nothing = place ? "nothing above the least score" : "not in the picture";
    cards[owner].does.replaceChildren(...(actions.length ? actions.map(([label, score]) => chip(label, score)) : [nothing]));
  }
  if (changed) showPresent();
}

/** For those who listen: who does what, when the picture stands still. */
let speaking = 0;
function speak() {
  const value = Math.round(view.time * 10) / 10;
  const here = peopleAt(view.time).map(({ owner, actions }) => {
    const acts = actions.slice(0, 3).map(([label, score]) => `${labels[label].short} ${score.toFixed(2)}`);
    return `${owners[owner].name}: ${acts.join(", ") || "no action"}`;
  });
  $("timeline").setAttribute("aria-valuenow", String(value));
  $("timeline").setAttribute("aria-valuetext", `${clockText(view.time, 1)}`);
  clearTimeout(speaking);
  if (player.playing) return;
  speaking = setTimeout(() => {
    $("status").textContent = `${clockText(view.time, 1)}. ${here.slice(0, 6).join(". ") || "Nobody in the picture"}.`;
  }, 500);
}
